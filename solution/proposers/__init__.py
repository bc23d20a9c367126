"""Who says where the ground of the optical image lies in the SAR image."""
