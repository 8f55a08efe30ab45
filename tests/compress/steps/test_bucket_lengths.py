"""Rows are padded to a few lengths that the training rows give, and answers stay."""

from dataclasses import replace

import numpy as np
import pytest

from surefoot import models
from surefoot.core.errors import ModelError
from surefoot.models.preprocess import Preprocessor, tensors, token_lengths


def test_lengths_are_quantiles_of_the_training_rows(step, exported, text_task):
    made = step("bucket_lengths", exported, buckets=3)
    lengths = np.sort(token_lengths(exported, text_task.train.inputs))
    assert made.signature.lengths == tuple(lengths[[100, 200, 299]].tolist())
    assert models.read_model(made.path).signature == made.signature


def test_calls_have_these_lengths_and_no_others(step, exported, texts):
    made = step("bucket_lengths", exported, buckets=3)
    prepare = tensors(made)
    seen = {prepare(texts[[row]])["input_ids"].shape[1] for row in range(len(texts))}
    assert seen <= set(made.signature.lengths)
    assert len(seen) == 3


def test_longer_rows_are_left_as_they_are(step, exported, texts):
    made = step("bucket_lengths", exported)
    short = replace(made, signature=replace(made.signature, lengths=(5,)))
    long = max(texts, key=len)
    rows = np.array([long], np.dtypes.StringDType())
    width = tensors(short)(rows)["input_ids"].shape[1]
    assert width == token_lengths(exported, rows)[0] > 5


def test_the_mask_tells_padding_from_text(step, exported, texts):
    made = step("bucket_lengths", exported, buckets=1)
    preprocessor = Preprocessor(made)
    found = preprocessor.tensors(preprocessor.rows(texts), np.arange(len(texts)))
    assert found["attention_mask"].sum(axis=1).tolist() == token_lengths(exported, texts).tolist()


@pytest.mark.parametrize("source", ["exported", "encoder"])
def test_answers_stay(step, request, source, texts):
    model = request.getfixturevalue(source)
    made = step("bucket_lengths", model)
    assert made.format == model.format
    with models.open_model(made) as one, models.open_model(model) as other:
        for batch in (1, 16):
            assert np.abs(one(texts, batch=batch) - other(texts, batch=batch)).max() < 1e-5


def test_later_steps_carry_them_on(step, exported):
    made = step("bucket_lengths", exported)
    assert step("quantize_dynamic", made).signature.lengths == made.signature.lengths


def test_what_cannot_be_is_refused(step, exported, text_task, tmp_path):
    with pytest.raises(ModelError, match="buckets is 0; give 1 to 64"):
        step("bucket_lengths", exported, buckets=0)
    with pytest.raises(ModelError, match="learns from training rows and there are none"):
        step("bucket_lengths", exported, on=replace(text_task, train=None))
    blind = replace(exported, signature=replace(exported.signature, tensors=("input_ids",)))
    with pytest.raises(ModelError, match="cannot tell padding from text; leave bucket_lengths"):
        step("bucket_lengths", blind)
