"""Hostile task files: whatever made a harness run something, each in a line or two of YAML."""

from __future__ import annotations

_POPEN = "cycler.__init__.__globals__.os.popen('touch ran').read()"
_MRO = "''.__class__.__mro__[1].__subclasses__()"

HOSTILE: dict[str, str] = {
    "popen in the text": f'doc_to_text: "{{{{ {_POPEN} }}}}"',
    "popen in the choice": f'doc_to_choice: "{{{{ {_POPEN} }}}}"',
    "popen in the target": f'doc_to_target: "{{{{ {_POPEN} }}}}"',
    "popen in the description": f'description: "{{{{ {_POPEN} }}}}"',
    "subclasses": f'doc_to_text: "{{{{ {_MRO} }}}}"',
    "lipsum": "doc_to_text: \"{{ lipsum.__globals__['os'].system('touch ran') }}\"",
    "namespace": "doc_to_text: \"{{ namespace.__init__.__globals__.os.system('touch ran') }}\"",
    "joiner": "doc_to_text: \"{{ joiner.__init__.__globals__.os.system('touch ran') }}\"",
    "a field's attributes": 'doc_to_text: "{{ question.__class__ }}"',
    "a method of a field": 'doc_to_text: "{{ question.upper() }}"',
    "a filter": "doc_to_text: \"{{ question|attr('__class__') }}\"",
    "an index": "doc_to_text: \"{{ question['__class__'] }}\"",
    "a statement": 'doc_to_text: "{% for x in [1] %}{% endfor %}"',
    "an include": "doc_to_text: \"{% include '/etc/passwd' %}\"",
    "an import": "doc_to_text: \"{% import 'os' as os %}\"",
    "a comment": 'doc_to_text: "{# hidden #}"',
    "a set": 'doc_to_text: "{% set x = cycler %}"',
    "a range to fill the memory": 'doc_to_text: "{{ range(10**12)|list }}"',
    "a template in the middle": f'doc_to_text: "Q: {{{{question}}}} {{{{ {_POPEN} }}}}"',
    "a field in a field's braces": 'doc_to_text: "{{{{question}}}}"',
    "!function": "doc_to_text: !function ran.touch",
    "!function in a list": "doc_to_choice: [!function ran.touch, a]",
    "python/object/apply": "doc_to_text: !!python/object/apply:os.system ['touch ran']",
    "python/name": "doc_to_text: !!python/name:os.system",
    "python/module": "doc_to_text: !!python/module:ran",
    "include key": "include: /etc/passwd",
    "process_docs": "process_docs: os.system",
    "process_results": "process_results: os.system",
    "custom_dataset": "custom_dataset: os.system",
    "a data set of the hub": "dataset_path: someone/hostile",
    "a data set's script": "dataset_path: ./ran.py",
    "trust_remote_code": "dataset_kwargs: {trust_remote_code: true}",
    "data by a network": "dataset_kwargs: {data_files: {test: 'https://example.com/q.jsonl'}}",
    "data elsewhere": "dataset_kwargs: {data_files: {test: '/etc/passwd'}}",
    "a number for a text": "doc_to_text: 3",
    "deep": "doc_to_text: " + "[" * 5000,
    "aliases that multiply": "a: &a [x]\n" + "\n".join(f"b{i}: [*a, *a]" for i in range(9)),
    "escapes": 'doc_to_text: "{{ \\e[2J\\u202e }}"',
    "fake lines": 'doc_to_choice: "x\\nlineas: all is well"',
    "a long name": "doc_to_choice: " + "n" * 100_000,
}
