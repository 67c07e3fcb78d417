"""tokenizer: a SentencePiece model is trained, copied, or taken from the teacher."""
