"""The settings of the web console."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings


class ConsoleSettings(BaseSettings):
    """`console_password` is that of the operator `admin`, as long as the table of operators has no such row."""

    console_password: SecretStr | None = None
