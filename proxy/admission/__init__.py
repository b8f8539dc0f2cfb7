"""Who a connection belongs to (grants, sessions), and how much it may still spend (meters)."""
