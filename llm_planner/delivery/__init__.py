"""The sending half of the channels: a reply leaves through its provider's own API."""
