"""Any file or array -> samples -> features."""
