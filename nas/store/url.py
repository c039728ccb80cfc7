"""Where a database is: its URL, the words that messages name it by, and the passwords that no message may hold."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import sqlalchemy as sa

from nas.errors import StoreError

_BACKENDS = ("sqlite", "postgresql")
_SECRET_OPTIONS = ("password", "sslpassword")  # of libpq, behind the question mark of a URL
_LIKE_A_URL = re.compile(r"(sqlite|file|postgres\w*|[a-z0-9_]+\+[a-z0-9_]+):", re.IGNORECASE)
_UNREADABLE = (
    "the store's URL cannot be read; expected sqlite:///FILE or postgresql://HOST/NAME, in a password %40 for @ and "
    "%2F for /"
)


@dataclass(frozen=True, slots=True, repr=False)
class StoreUrl:
    """A URL that can be read, of a database that we know."""

    url: sa.URL

    @classmethod
    def parse(cls, text: str | Path) -> "StoreUrl":
        """Of an SQLAlchemy URL, or the path of an SQLite file.

        Raises:
            StoreError: neither; the message repeats nothing that could be a password.
        """
        if not isinstance(text, Path) and text in ("", "sqlite:///"):
            raise StoreError("the store's URL names no file; expected sqlite:///FILE or postgresql://HOST/NAME")
        if isinstance(text, Path) or ("://" not in text and not _LIKE_A_URL.match(text)):
            return cls(sa.URL.create("sqlite", database=str(text)))
        try:
            url = sa.make_url(text)
            backend = url.get_backend_name()
        except (sa.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
            raise StoreError(_UNREADABLE) from None
        if "@" in (url.host or "") or (backend != "sqlite" and "@" in (url.database or "")):
            raise StoreError(_UNREADABLE)  # the rest of a password with a bare @ or /
        if backend not in _BACKENDS:
            place = cls(url).place
            raise StoreError(f"{place}: unknown database {backend!r}; expected one of {', '.join(_BACKENDS)}")
        return cls(url)

    @property
    def served(self) -> bool:
        """Whether a server keeps the database, which can be away while this process is not."""
        return self.url.get_backend_name() != "sqlite"

    @property
    def place(self) -> str:
        """How messages name the database: its file, or its URL without password and options."""
        if not self.served:
            return self.url.database or "the store in memory"
        return self.url.set(query={}).render_as_string(hide_password=True)

    @property
    def folder(self) -> Path | None:
        """Where the file lies; None for a server or a database in memory."""
        if self.served or self.url.database in (None, "", ":memory:"):
            return None
        return Path(str(self.url.database)).parent

    def require_there(self) -> None:
        """For those who only read. Raises StoreError if this is a file that does not exist."""
        if self.folder is not None and not Path(str(self.url.database)).exists():
            raise StoreError(f"{self.place}: there is no such database; `nas search` makes one, --store names another")

    def redact(self, text: str) -> str:
        """`text` on one line, with asterisks in place of each password of the URL, as it is or as a URL writes it."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, "***")
        return " ".join(text.split())

    def holds_secret(self, text: str) -> bool:
        """Whether a password of the URL is a part of `text`."""
        return any(secret in text for secret in self._secrets())

    def _secrets(self) -> set[str]:
        given = [self.url.password, *(self.url.query.get(name) for name in _SECRET_OPTIONS)]
        words = {str(word) for word in given if word}
        return words | {quote(word, safe="") for word in words} | {quote_plus(word) for word in words}
