"""A run as a page that people read: one file of HTML, with nothing from elsewhere and no script."""
