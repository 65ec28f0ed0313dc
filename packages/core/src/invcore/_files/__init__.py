"""Files of other people: what is opened and believed; and how whole files are written."""
