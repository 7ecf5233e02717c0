"""`.env.example` names every setting, and secrets may be files."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from salesforecast.core.settings import (
    SECRETS_DIR,
    Settings,
    UserError,
    env_example,
    environment_variable,
    read_settings,
)

ROOT = Path(__file__).parents[2]


def test_env_example_is_that_of_the_settings() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example(), "run `make env-example`"


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_variable_of_the_example_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be, or another one, arrives under the name that the example gives."""
    default = Settings.model_fields[name].default
    number = isinstance(default, int | float) and not isinstance(default, bool)
    monkeypatch.delenv(f"SALESFORECAST_{name.upper()}", raising=False)
    monkeypatch.setenv(environment_variable(name), str(default + 1) if number else "otherwise")
    try:
        found = getattr(read_settings(), name)
    except UserError as error:
        assert "found 'otherwise'" in str(error)
    else:
        assert (
            found != default and found == default + 1
            if number
            else "otherwise" in str(found.get_secret_value() if isinstance(found, SecretStr) else found)
        )


def test_a_secret_is_read_from_a_file_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "salesforecast_api_key").write_text("of the file\n", encoding="utf-8")
    (tmp_path / "salesforecast_api_keys").write_text("a:predict:00\nb:predict:11\n", encoding="utf-8")
    monkeypatch.setenv(SECRETS_DIR, str(tmp_path))
    found = read_settings()
    assert found.api_key and found.api_key.get_secret_value() == "of the file"
    assert found.api_keys.splitlines() == ["a:predict:00", "b:predict:11"]
    assert "of the file" not in repr(found)
    monkeypatch.setenv("SALESFORECAST_API_KEY", "of the environment")
    found = read_settings()
    assert found.api_key and found.api_key.get_secret_value() == "of the environment"
