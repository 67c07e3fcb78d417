"""A CTranslate2 model on its device: converted, opened, prompted, forced along a target, or made to translate."""
