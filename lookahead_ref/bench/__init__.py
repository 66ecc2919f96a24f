"""How fast it is, side by side with the implementations that are installed."""
