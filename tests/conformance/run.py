"""paho's own tests and examples, with remqtt in paho's place.

usage: run.py TARGET [PYTEST-ARGUMENTS...]

Fetches the source distribution of paho-mqtt into TARGET/conformance (it is never part of this repository),
runs its tests against remqtt, which tests/conformance/shim puts behind the name paho.mqtt, and then its
examples through `python -m remqtt`. Fails when a test fails that table.py does not know, or an example.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import examples
import table

VERSION = "2.2.0"
HERE = Path(__file__).resolve().parent
#: The tests that need no private names, and how many of them may fail: each a known disagreement.
FAIR, MOST_DISAGREEMENTS = 211, 5


def fetched(directory: Path) -> Path:
    """The unpacked source distribution."""
    tree = directory / f"paho_mqtt-{VERSION}"
    if not tree.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        wanted = ["--no-binary", "paho-mqtt", "-d", str(directory), f"paho-mqtt=={VERSION}"]
        subprocess.run([*pip, *wanted], check=True)
        with tarfile.open(directory / f"paho_mqtt-{VERSION}.tar.gz") as archive:
            archive.extractall(directory, filter="data")
    return tree


def run_tests(tree: Path, results: Path, tests: list[str], **settings: str) -> None:
    """Runs paho's tests, with these variables in the environment; the results are in the file."""
    # The tests start programs that import `tests`; the working folder is where they look for a Unix socket.
    folders = (HERE / "shim", HERE / "brokers", HERE, tree)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), **settings}
    (tree / "localhost").unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "cleanup",
        f"--junitxml={results}",
    ]
    command += ["--continue-on-collection-errors", *tests]
    results.unlink(missing_ok=True)
    code = subprocess.run(command, cwd=tree, env=environment, check=False).returncode
    if code not in (0, 1):
        sys.exit(f"pytest ended with {code}: its results say nothing")


def outcomes(results: Path) -> dict[str, tuple[str, str]]:
    """The outcome of each test, passed, failed or skipped, with what is said about it."""
    found = {}
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        outcome, said = "passed", ""
        for kind, word in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
            for element in case.iter(kind):
                # A test of which paho expects itself to fail has passed.
                outcome = "passed" if element.get("type") == "pytest.xfail" else word
                said = (element.get("message") or "").partition("\n")[0]
        found[name_of(case)] = outcome, said
    return found


def name_of(case: ElementTree.Element) -> str:
    """A test as pytest names it, of a class name with dots."""
    place, name = case.get("classname") or "", case.get("name") or ""
    if not place:
        return name.replace(".", "/") + ".py"  # a file that cannot be imported
    path = place.split(".")
    classes = [part for part in path if part.lstrip("_")[:1].isupper()]
    return "::".join(["/".join(path[: len(path) - len(classes)]) + ".py", *classes, name])


def report(found: dict[str, tuple[str, str]], complete: bool) -> bool:
    """Prints the result; false when it is not good enough, or was to be complete and is not."""
    private = [test for test in found if table.of(table.PRIVATE, test)]
    fair = [test for test in found if test not in private]
    failed = [test for test in fair if found[test][0] != "passed"]
    known = [test for test in failed if table.of(table.DISAGREEMENTS, test)]
    print(f"\npaho-mqtt {VERSION}'s own tests with remqtt behind paho.mqtt:")
    passed = sum(found[test][0] == "passed" for test in fair)
    print(f"  {len(fair)} need no private names: {passed} passed, {len(fair) - passed} failed or did not run")
    print(f"  {len(failed) - len(known)} of these are unexpected:")
    for test in failed:
        if test not in known:
            print(f"    {found[test][0].upper()} {test}: {found[test][1]}")
    print(f"  {len(known)} are disagreements:")
    for test in known:
        reason, ours = table.DISAGREEMENTS[table.of(table.DISAGREEMENTS, test) or ""]
        print(f"    {test}\n      {reason}\n      shown by {ours}")
    if complete:
        print("  MQTT 5 ran with mosquitto in paho.mqtt.testing's broker's place, and with a server of ours:")
        for test, why in table.NOT_WITH_MOSQUITTO.items():
            print(f"    {found.get(test, ('not run', ''))[0]} {test}: {why}")
    good = sum(found[test][0] == "passed" for test in private)
    print(f"  {len(private)} more need private names (a whole file if it cannot be imported); {good} passed:")
    for key, what in table.PRIVATE.items():
        print(f"    {key}: {what}")
    return len(failed) == len(known) <= MOST_DISAGREEMENTS and len(fair) == (FAIR if complete else len(fair))


def main() -> None:
    """Runs everything."""
    target, arguments = Path(sys.argv[1]).resolve() / "conformance", sys.argv[2:]
    tree, results = fetched(target), target / "results.xml"
    run_tests(tree, results, arguments or ["tests"])
    found = outcomes(results)
    if not arguments:
        run_tests(tree, results, list(table.NOT_WITH_MOSQUITTO), STAND_IN="yes")
        found.update(outcomes(results))
    good = report(found, complete=not arguments)
    if not arguments:
        good = examples.run(tree, target) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
