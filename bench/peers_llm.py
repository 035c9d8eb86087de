# SPDX-License-Identifier: Apache-2.0
"""Times llama.cpp's forward passes: peers_llm.py MODEL threads=N [prompt=512 tokens=128 streams=8]

The same passes as `tapeout bench-part llm speed`, through llama.cpp's own C interface: the same
token ids, logits of each generated token, no sampling, the first passes not timed. One JSON object
with the same keys, but those of memory.
"""
import json
import sys
import time

import llama_cpp


class Model:
    def __init__(self, path, threads, streams):
        llama_cpp.llama_backend_init()
        self.keep = llama_cpp.llama_log_callback(lambda level, text, user: None)
        llama_cpp.llama_log_set(self.keep, None)
        self.model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = 1024 * streams
        options.n_batch = options.n_ubatch = 512
        options.n_seq_max = streams
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        if not self.model or not self.context:
            sys.exit("peers_llm: llama.cpp does not load the model")
        vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.vocab_count = llama_cpp.llama_vocab_n_tokens(vocab)
        self.batch = llama_cpp.llama_batch_init(512, 0, 1)

    def forget(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def run(self, tokens):
        """Tokens as (number of the id, position, sequence, wants logits)."""
        self.batch.n_tokens = len(tokens)
        for i, (number, position, sequence, wants) in enumerate(tokens):
            self.batch.token[i] = (number * 7919 + 1000) % self.vocab_count
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = wants
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            sys.exit("peers_llm: llama.cpp failed")
        llama_cpp.llama_synchronize(self.context)

    def read_prompt(self, count):
        self.forget()
        self.run([(i, i, 0, i + 1 == count) for i in range(count)])

    def generate(self, streams, count):
        self.forget()
        for i in range(count):
            self.run([(i + s, i, s, True) for s in range(streams)])


def timed(work):
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main():
    settings = dict(word.split("=") for word in sys.argv[2:])
    prompt, tokens, streams = (int(settings.get(key, value)) for key, value in
                               (("prompt", 512), ("tokens", 128), ("streams", 8)))
    model = Model(sys.argv[1], int(settings.get("threads", 1)), streams)
    model.read_prompt(prompt)
    prefill = timed(lambda: model.read_prompt(prompt))
    model.generate(1, 4)
    one = timed(lambda: model.generate(1, tokens))
    model.generate(streams, 4)
    each = tokens // 2 + 1
    many = timed(lambda: model.generate(streams, each))
    print(json.dumps({
        "prefill_per_s": prompt / prefill[0], "prefill_per_cpu_s": prompt / prefill[1],
        "decode_per_s": tokens / one[0], "decode_per_cpu_s": tokens / one[1],
        "streams_per_s": streams * each / many[0], "streams_per_cpu_s": streams * each / many[1],
        "streams_over_one": streams * each / many[0] * one[0] / tokens,
        "streams_over_one_cpu": streams * each / many[1] * one[1] / tokens}))


if __name__ == "__main__":
    main()
