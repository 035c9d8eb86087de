# SPDX-License-Identifier: Apache-2.0
"""Asks a model that tapeout serves, through OpenAI's own client: only the base URL is ours."""
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="unused")
stream = client.chat.completions.create(
    model="smollm2", temperature=0, stream=True,
    messages=[{"role": "user", "content": "Name three colours of the rainbow."}])
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
