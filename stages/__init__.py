"""What is done to the data: a room a stage, whose way in is `stage.py`, and a few that several share.

The stages, in the order in which a sentence pair meets them: corpus, given (translations from elsewhere, in a
teacher's place), tokenizer, teacher, calibrate, decode, pool, select, sides, score, fuse, measure, filter, dataset,
student (the baseline is one, too), export, evaluate, report.

The rooms that they share:
    languages      which language a text is in, which direction a row has, which rows a teacher is for
    text           tokenizers, and what is measured of texts: chrF, BLEU, copies, repetitions, placeholders
    noise          sources written anew, as people write them, and how targets follow
    loaded_model   a model on its device: convert it, prompt it, force it along a target, translate with it
    beam_search    n-best lists of a shard: options, batches, shortlist
    training       an OpenNMT-py transformer trained on streams of rows by a weighted sum of objectives
    presentation   figures and model cards as people read them

A stage reaches into no other stage's room; `tests/test_layers.py` holds that.
"""
