"""Before the first run: what this machine has, and a first recipe from files and a teacher."""
