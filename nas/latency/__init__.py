"""What a network costs on a device: tables of ops, models over them, and their measurement."""
