"""calibrate: what is quickest on this machine with this teacher is tried, and kept with the run."""
