"""Train the bundled tiny model from nothing: `python -m prime_audit.bundled.train_tiny --out DIR`.

The text is generated public text (`prime_audit.data.world.pretraining_text`): the world of the bundled study,
none of its users. Half of the documents use the prompt of the headline task, half a plain layout, so that the
model can be adapted to a task but already reads and writes the world. CPU only; one seed gives one model on
one machine.
"""

import argparse
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from prime_audit.bundled.card import write_card
from prime_audit.core.seeds import Seeds
from prime_audit.data import TASKS, Item
from prime_audit.data.world import pretraining_text

LOG = logging.getLogger("prime_audit.bundled.train_tiny")
# A root of its own: no study seed in use shares an author with the pretraining text.
TRAINING_ROOT = 20250101
PAD, BOS, EOS = "<pad>", "<s>", "</s>"
LAYOUTS = ("{input}\n{answer}", "Text: {input}\nTitle: {answer}", "{answer}\n{input}")
IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """What decides the weights.

    Args:
        seed: Root of every stream.
        steps: Optimiser steps.
        batch: Documents per step.
        lr: The highest learning rate, after a warm-up and before a cosine decay.
        vocabulary: Size of the vocabulary.
        hidden: Width of the model.
        layers: Number of layers.
        heads: Attention heads.
        mlp: Width of the feed-forward part.
        context: Longest sequence, in tokens.
    """

    seed: int = TRAINING_ROOT
    steps: int = 2400
    batch: int = 16
    lr: float = 3e-3
    vocabulary: int = 1792
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    mlp: int = 256
    context: int = 512


def documents(n_authors: int, seeds: Seeds) -> Iterator[str]:
    """Write one document per generated author.

    Args:
        n_authors: How many.
        seeds: Where the streams come from.

    Yields:
        A prompt of the headline task with its answer (after none to two solved examples by the same author),
        or the same records in a plain layout.
    """
    task = TASKS["lamp-4"]
    rng = seeds.generator("pretraining", "layouts")
    for records in pretraining_text(n_authors, seeds, records=3):
        chosen = records[: int(rng.integers(1, 4))]
        if float(rng.random()) < 0.5:
            last = chosen[-1]
            yield task.prompt(last.input, chosen[:-1]) + task.completion(_answer(last))
        else:
            layout = LAYOUTS[int(rng.integers(len(LAYOUTS)))]
            yield "\n\n".join(layout.format(input=item.input, answer=_answer(item)) for item in chosen)


def train_tokenizer(texts: Iterator[str], vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, which can spell any text.

    Args:
        texts: The text to train on.
        vocabulary: Its size, special tokens included.
        context: The longest sequence of the model.

    Returns:
        The tokenizer; it adds no special token by itself.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Build the untrained model.

    Args:
        recipe: Its sizes.
        tokenizer: Gives the special tokens.
        seed: Decides the first weights.

    Returns:
        The model, in float32.
    """
    config = LlamaConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.mlp,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def train(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, seeds: Seeds) -> tuple[LlamaForCausalLM, int]:
    """Train the model on as many fresh documents as the recipe asks for.

    Args:
        recipe: What to do.
        tokenizer: The tokenizer.
        seeds: Where the streams come from.

    Returns:
        The model, and the number of tokens that it saw.
    """
    model = new_model(recipe, tokenizer, seeds.integer("pretraining", "weights"))
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe.steps))
    tokens, started = 0, time.monotonic()
    texts = documents(recipe.steps * recipe.batch, seeds)
    model.train()
    for step in range(1, recipe.steps + 1):
        ids, labels = _tensors(list(islice(texts, recipe.batch)), tokenizer, recipe.context)
        loss = model(input_ids=ids, attention_mask=(labels != IGNORED).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        tokens += int((labels != IGNORED).sum())
        if step % 100 == 0:
            seconds = time.monotonic() - started
            LOG.info("step %d: loss %.3f, %d tokens, %.0f s", step, loss.item(), tokens, seconds)
    return model.train(mode=False), tokens


@torch.no_grad()
def held_out_loss(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seeds: Seeds
) -> dict[str, float]:
    """Measure the model on authors that it was not trained on.

    Args:
        model: The trained model.
        tokenizer: Its tokenizer.
        seeds: Another root than the training's.

    Returns:
        Mean nats per token over whole documents, and over the headline alone in the task's prompt.
    """
    task = TASKS["lamp-4"]
    whole = _tensors(list(documents(200, seeds)), tokenizer, model.config.max_position_embeddings)
    items = [records[0] for records in pretraining_text(200, seeds, records=1)]
    prompts = [task.prompt(item.input) for item in items]
    pairs = [p + task.completion(_answer(i)) for p, i in zip(prompts, items, strict=True)]
    ids, labels = _tensors(pairs, tokenizer, model.config.max_position_embeddings)
    for row, prompt in enumerate(prompts):
        labels[row, : 1 + len(tokenizer.encode(prompt, add_special_tokens=False))] = IGNORED
    return {
        "document": float(model(input_ids=whole[0], labels=whole[1]).loss),
        "headline": float(model(input_ids=ids, labels=labels).loss),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script.

    Args:
        arguments: The command line without the program's name; `sys.argv` if absent.

    Returns:
        The exit code.
    """
    defaults = Recipe()
    parser = argparse.ArgumentParser(prog="python -m prime_audit.bundled.train_tiny", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model; made if absent")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="optimiser steps (%(default)s)")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="root seed (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (%(default)s)")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    torch.set_num_threads(chosen.threads)
    recipe = Recipe(seed=chosen.seed, steps=chosen.steps)
    seeds = Seeds(recipe.seed)
    tokenizer = train_tokenizer(documents(8000, seeds), recipe.vocabulary, recipe.context)
    recipe = Recipe(seed=chosen.seed, steps=chosen.steps, vocabulary=len(tokenizer))
    model, tokens = train(recipe, tokenizer, seeds)
    losses = held_out_loss(model, tokenizer, Seeds(recipe.seed + 1))
    save(model, tokenizer, chosen.out)
    write_card(chosen.out, asdict(recipe), model.num_parameters(), tokens, losses)
    LOG.info("nats per token on new authors: %s", losses)
    return 0


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write the model in the usual layout, in float32.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        out: The folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)


def _answer(item: Item) -> str:
    if item.answer is None:
        raise ValueError(f"record {item.id} has no answer")
    return item.answer


def _rate(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _tensors(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, context: int
) -> tuple[torch.Tensor, torch.Tensor]:
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    rows = [[bos, *ids, eos][:context] for ids in _ids(texts, tokenizer)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    lengths = torch.tensor([[len(row)] for row in rows])
    return ids, torch.where(torch.arange(width)[None, :] < lengths, ids, IGNORED)


def _ids(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch(list(texts))]


if __name__ == "__main__":
    raise SystemExit(main())
