"""An agent's directory: its manifest, how it is launched, and the bundle that is sent."""
