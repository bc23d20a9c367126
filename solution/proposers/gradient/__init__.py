"""Template matching on oriented gradients; nothing in it is trained."""
