"""Build the page, its figures and the report from :mod:`cry_model` answers and measured results."""
