"""Tests of the sending half of the channels."""
