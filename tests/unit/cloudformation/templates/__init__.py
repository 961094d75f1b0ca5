"""What a template of ours must hold to, resource by resource and as a whole."""
