"""The pix2pix translator, from SAR to optical-like pictures."""
