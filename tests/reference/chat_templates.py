"""Chat templates as families of models have them, in our own words, rendered by transformers.

    python tests/reference/chat_templates.py        (transformers, jinja2)

Writes tests/parity/fixtures/language/templates.json: for each template the message of the person, the texts of the
first and last token, and the prompt that transformers makes of them.
"""

import json
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

OUT = Path(__file__).resolve().parent.parent / "parity" / "fixtures" / "language" / "templates.json"

# Turns with named roles, `model` for the assistant; a system message would go into the first turn.
TURNS = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set lead = messages[0]['content'] + '\\n\\n' -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set lead = "" -%}
    {%- set rest = messages -%}
{%- endif -%}
{%- for turn in rest -%}
    {%- if (turn['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("user and assistant have to take turns") }}
    {%- endif -%}
    {%- set role = "model" if turn['role'] == 'assistant' else turn['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + (lead if loop.first else "") }}
    {%- if turn['content'] is string -%}
        {{ turn['content'] | trim }}
    {%- elif turn['content'] is iterable -%}
        {%- for part in turn['content'] if part['type'] == 'text' -%}{{ part['text'] | trim }}{%- endfor -%}
    {%- else -%}
        {{ raise_exception("a turn without words") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\\n' }}
{%- endif -%}
"""

# Roles as tokens, with lines between; ends with the last token where no answer is asked for.
ROLES = """{% for turn in messages %}{% if turn['role'] == 'system' and turn['content'] %}{{'<|system|>\\n' + turn['content'] + '<|end|>\\n'}}
{%- elif turn['role'] == 'user' %}{{'<|user|>\\n' + turn['content'] + '<|end|>\\n'}}
{%- elif turn['role'] == 'assistant' %}{{'<|assistant|>\\n' + turn['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""

# Roles as tokens without lines, whatever the role is called.
BARE = """{% for turn in messages %}{{ '<|' + turn.role + '|>' + turn['content'] + '<|end|>' }}{% endfor %}
{% if add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
"""

# Headers, with a system part that always comes and tells a date; what is not defined has a default.
HEADERS = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday: " + date_string + "\\n\\n" + system + "<|eot_id|>" }}
{%- for turn in messages %}
    {%- if not (turn.role == 'ipython' or 'tool_calls' in turn) %}
        {{- '<|start_header_id|>' + turn['role'] + '<|end_header_id|>\\n\\n' + turn['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

# Marks around turns; thinking aloud is closed at once where it is not wanted.
MARKS = """{%- set ns = namespace(asked=false) %}
{%- for turn in messages[::-1] %}
    {%- if not ns.asked and turn.role == "user" and not (turn.content.startswith('<tool>') and turn.content.endswith('</tool>')) %}
        {%- set ns.asked = true %}
    {%- endif %}
{%- endfor %}
{%- for turn in messages %}
    {{- '<|im_start|>' + turn.role + '\\n' + turn.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt and ns.asked %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

MESSAGE = "  Picture: a house, its door <open> & blue\nWish: winter, 'soon'\n"


def main():
    families = [("turns", TURNS, "<bos>", "<eos>"), ("roles", ROLES, "<s>", "<|endoftext|>"),
                ("bare", BARE, "<|endoftext|>", "<|endoftext|>"),
                ("headers", HEADERS, "<|begin_of_text|>", "<|eot_id|>"), ("marks", MARKS, "", "<|im_end|>")]
    cases = []
    for name, template, bos, eos in families:
        rendered, _ = render_jinja_template(
            conversations=[[{"role": "user", "content": MESSAGE}]], chat_template=template, add_generation_prompt=True,
            enable_thinking=False, bos_token=bos, eos_token=eos,
        )
        cases.append(dict(name=name, template=template, bos=bos, eos=eos, message=MESSAGE, rendered=rendered[0]))
    OUT.write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
    print(OUT.name, OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
