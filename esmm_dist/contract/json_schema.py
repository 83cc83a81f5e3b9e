"""Prints the JSON schema of the config, for editors that complete and check YAML.

    python -m esmm_dist.contract.json_schema > conf/schema.json
"""

import json

from esmm_dist.contract.sections import Config


def config_schema() -> str:
    """The schema as the file conf/schema.json holds it."""
    return json.dumps(Config.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(config_schema(), end="")
