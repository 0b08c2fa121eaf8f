"""Hash the code that each stage depends on; a file that is right is left as it is.

reads   stages/code.yaml, and the files of stages/ and ulfine/ that it names
writes  artifacts/code/{stage}.json of every other stage
"""

from ulfine.stage import stage

from ulfine.code import write_manifests


@stage
def main() -> None:
    write_manifests()


if __name__ == "__main__":
    main()
