"""The daemon's process: settings, wiring, serving, and daemons that live in a command."""
