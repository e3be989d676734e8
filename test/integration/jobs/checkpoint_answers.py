#!/usr/bin/env python3
"""Compares what REST says of checkpoints, on a living cluster, with what Flink 1.20 said (test/golden/rest/checkpoints).

usage: checkpoint_answers.py http://localhost:PORT JOB FOLDER running|stop|restored
Every answer has the status, the members (none more, none less), the types and the words of Flink's.
Prints "ok NAME" and "FAIL NAME" lines.
"""
import json
import sys
import time
import urllib.error
import urllib.request

GOLDEN = "test/golden/rest/checkpoints/"
WORDS = {"className", "status", "checkpoint_type", "savepointFormat", "mode", "state_backend", "checkpoint_storage",
         "changelog_storage"}
failed = 0


def kind(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)) or value == "NaN":
        return "number"
    return type(value).__name__


def differences(where, flink, ours):
    """What is different, as sentences."""
    if flink is None or ours is None:  # Flink's null is "not there now"
        return [] if flink is None else [f"{where} is null"]
    if kind(flink) != kind(ours):
        return [f"{where} is a {kind(ours)}, not a {kind(flink)}"]
    if isinstance(flink, list):
        if not flink or not ours:
            return [] if not flink else [f"{where} is empty"]
        like = {item.get("className") if isinstance(item, dict) else None: item for item in flink}
        found = []
        for i, item in enumerate(ours):
            name = item.get("className") if isinstance(item, dict) else None
            if name in like:
                found += differences(f"{where}[{i}]", like[name], item)
        return found
    if not isinstance(flink, dict):
        word = where.rsplit(".", 1)[-1] in WORDS and "[" not in where.rsplit(".", 1)[-1]
        return [f"{where} is {ours!r}, not {flink!r}"] if word and flink != ours else []
    if where.endswith(".tasks"):  # by vertex
        return [d for task in ours.values() for d in differences(where + "[]", next(iter(flink.values())), task)] if flink else []
    found = [f"{where}.{key} is missing" for key in flink if key not in ours]
    found += [f"{where}.{key} is none of Flink's" for key in ours if key not in flink]
    for key in flink:
        if key in ours and not (key == "checkpoint_type" and ours.get("is_savepoint") != flink.get("is_savepoint")):
            found += differences(f"{where}.{key}", flink[key], ours[key])
    return found


def check(name, condition, text=""):
    global failed
    failed += not condition
    print(f"ok {name}" if condition else f"FAIL {name}: {text}", flush=True)


def ask(base, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def compare(name, base, method, path, body=None):
    with open(GOLDEN + name + ".json", encoding="utf-8") as file:
        flink = json.load(file)
    status, ours = ask(base, method, path, body)
    found = [] if status == flink["status"] else [f"status {status}, not {flink['status']}: {ours}"]
    if not found and "errors" not in flink["body"]:
        found = differences("answer", flink["body"], ours)
    if "errors" in flink["body"] and not (isinstance(ours.get("errors"), list) and ours["errors"]):
        found.append("no errors are named")
    check(name, not found, "; ".join(found))
    return ours


def until_over(base, path):
    for _ in range(600):
        status, answer = ask(base, "GET", path)
        if status != 200 or answer["status"]["id"] == "COMPLETED":
            return
        time.sleep(0.05)


def operation(base, names, path, look, body=None):
    """Asks, waits, looks: names are those of the answers to the first and the last."""
    answer = compare(names[0], base, "POST", path, body)
    where = look + "/" + answer.get("request-id", "none")
    until_over(base, where)
    return compare(names[1], base, "GET", where)


def running(base, job, folder):
    of = f"/jobs/{job}"
    overview = compare("checkpoints", base, "GET", of + "/checkpoints")
    compare("config", base, "GET", of + "/checkpoints/config")
    newest = overview["latest"]["completed"]["id"]
    details = compare("details", base, "GET", f"{of}/checkpoints/details/{newest}")
    for vertex in details["tasks"]:
        compare("subtasks", base, "GET", f"{of}/checkpoints/details/{newest}/subtasks/{vertex}")
    over = operation(base, ("savepoint_trigger", "savepoint_over"), of + "/savepoints", of + "/savepoints",
                     {"target-directory": "file://" + folder, "cancel-job": False})
    compare("savepoint_own_id", base, "POST", of + "/savepoints",
            {"target-directory": "file://" + folder, "triggerId": "00000000000000000000000000000007"})
    until_over(base, of + "/savepoints/00000000000000000000000000000007")
    compare("savepoint_no_body", base, "POST", of + "/savepoints")
    operation(base, ("savepoint_trigger", "savepoint_bad_folder"), of + "/savepoints", of + "/savepoints",
              {"target-directory": "file:///proc/nope"})
    compare("savepoint_unknown", base, "GET", of + "/savepoints/00000000000000000000000000000009")
    operation(base, ("checkpoint_trigger", "checkpoint_over"), of + "/checkpoints", of + "/checkpoints",
              {"checkpointType": "CONFIGURED"})
    compare("checkpoint_incremental", base, "POST", of + "/checkpoints", {"checkpointType": "INCREMENTAL"})
    compare("checkpoint_bogus", base, "POST", of + "/checkpoints", {"checkpointType": "bogus"})
    path = {"savepoint-path": over["operation"]["location"]}
    operation(base, ("disposal_trigger", "disposal_over"), "/savepoint-disposal", "/savepoint-disposal", path)
    operation(base, ("disposal_trigger", "disposal_again_over"), "/savepoint-disposal", "/savepoint-disposal", path)
    compare("disposal_no_path", base, "POST", "/savepoint-disposal", {})


def main():
    base, job, folder, what = sys.argv[1:5]
    if what == "running":
        running(base, job, folder)
    elif what == "stop":
        over = operation(base, ("stop_trigger", "stop_over"), f"/jobs/{job}/stop", f"/jobs/{job}/savepoints",
                         {"targetDirectory": "file://" + folder, "drain": False})
        print(f"savepoint {over['operation']['location']}")
        compare("after_stop", base, "GET", f"/jobs/{job}/checkpoints")
    else:
        compare("restored", base, "GET", f"/jobs/{job}/checkpoints")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
