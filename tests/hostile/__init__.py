"""The hostile model, the hostile user and the hostile tool."""
