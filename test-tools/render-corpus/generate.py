#!/usr/bin/env python3
"""Renders the corpus with real ansible-playbooks: what comes out is golden.json, which the test `corpus` compares us with.

usage: generate.py OLDER NEWER [all]   two ansible-playbook commands; where they differ, NEWER counts, and OLDER is noted

What golden.json has already is not rendered again, unless `all` is asked for: after a change of bundle/, say.

A line of constructs/*.txt is one template; the sign ⏎ in it is a line end. Files of bundle/output/*.j2 are templates as well.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent
BUNDLE = HERE / "bundle"
# As src/report/templates.rs makes them up for `validate`.
RESULTS = {
    "result_img_id": "00000000-0000-4000-8000-000000000000",
    "result_img_name": "demo-2000",
    "result_img_checksum": "0" * 64,
    "bundle_target_name": "demo-2000",
    "run_id": "20000101-000000-000000",
    "build_date": "2000-01-01T00:00:00Z",
    "git_commit": "0" * 40,
}
SHARES = 4


def templates():
    """(topic, text) of all templates."""
    for file in sorted((HERE / "constructs").glob("*.txt")):
        for line in file.read_text().split("\n"):
            if line:
                yield file.stem, line.replace("⏎", "\n")
    for file in sorted((BUNDLE / "output").glob("*.j2")):
        yield file.name, file.read_text()


def variables():
    """All that build-vars.yml gives to templates, in the order of precedence that BUNDLES.md tells."""
    written = yaml.safe_load((BUNDLE / "build-vars.yml").read_text())
    return {**written["vars"], **written, **RESULTS}


def playbook(share):
    """The real template module, once for each; a failure of one is an outcome like any other."""
    def task(name):
        return {"name": name, "template": {"src": f"{name}.j2", "dest": f"out/{name}"}, "ignore_errors": True}

    return [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task(n) for n in share]}]


def render(command, all_templates):
    """What `command` makes of each: {"text": …} or {"error": …}."""
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        running = []
        for number in range(SHARES):
            room = work / str(number)
            (room / "out").mkdir(parents=True)
            # Beside the templates, as a bundle has them: `{% include %}` is looked up there.
            subprocess.run(["cp", "-r", BUNDLE / "output" / "parts", room], check=True)
            share = [f"t{at:04}" for at in range(len(all_templates)) if at % SHARES == number]
            for name in share:
                (room / f"{name}.j2").write_text(all_templates[int(name[1:])][1])
            (room / "vars.json").write_text(json.dumps(variables()))
            (room / "play.yml").write_text(json.dumps(playbook(share)))
            environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
                           "ANSIBLE_PIPELINING": "1", "ANSIBLE_DEPRECATION_WARNINGS": "0"}
            running.append((room, share, subprocess.Popen(
                [command, "-i", "localhost,", "-e", "@vars.json", "play.yml"],
                cwd=room, env=environment, stdout=(room / "log").open("w"), stderr=subprocess.STDOUT)))
        outcome = {}
        for room, share, process in running:
            process.wait()
            log = (room / "log").read_text()
            said = dict(re.findall(r"^TASK \[(t\d+)\] \*+\n(.*?)(?=^TASK|^PLAY RECAP)", log, re.M | re.S))
            for name in share:
                file = room / "out" / name
                if name not in said:
                    sys.exit(f"{command} said nothing of {name}: {log[-2000:]}")
                if file.exists():
                    outcome[int(name[1:])] = {"text": file.read_bytes().decode()}
                else:
                    outcome[int(name[1:])] = {"error": reason(said[name])}
            if os.environ.get("KEEP_LOGS"):
                pathlib.Path(os.environ["KEEP_LOGS"], f"{pathlib.Path(command).parts[2]}-{room.name}.log").write_text(log)
        return [outcome[at] for at in range(len(all_templates))]


def reason(said):
    """The message of a failure, without what changes from run to run."""
    found = re.search(r'"msg": "((?:[^"\\]|\\.)*)"', said)
    text = found.group(1) if found else said
    return re.sub(r"/[\w/.-]*/", "", text)[:160]


def main():
    older, newer, *how = sys.argv[1:]
    file = HERE / "golden.json"
    known = {} if how == ["all"] or not file.exists() else {e["template"]: e for e in json.loads(file.read_text())}
    wanted = list(templates())
    new = [pair for pair in wanted if pair[1] not in known]
    results = [render(command, new) for command in (older, newer)]
    for (topic, text), old, entry in zip(new, *results):
        known[text] = {"topic": topic, "template": text, **entry}
        if old.get("text") != entry.get("text"):
            known[text]["older"] = old.get("text")
    golden = [known[text] for _, text in wanted]
    with file.open("w") as out:
        out.write("[\n" + ",\n".join(json.dumps(e, ensure_ascii=False) for e in golden) + "\n]\n")
    differ = sum("older" in e for e in golden)
    print(f"{len(golden)} templates, {sum('error' in e for e in golden)} refused by Ansible, {differ} differ between the two")


if __name__ == "__main__":
    main()
