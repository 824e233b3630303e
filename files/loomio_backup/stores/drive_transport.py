"""How requests reach Google: whose credentials they carry, and over which HTTP client.

Facts that shape it (google-auth 2.62, httplib2 0.32):

* `from_authorized_user_info` ignores token_uri, so credentials are built with their constructors.
* Service account credentials start a thread that asks iamcredentials.googleapis.com, of no use here.
* httplib2, the library's own transport, resends a POST after a dropped connection without saying so, and
  ignores HTTPS_PROXY unless PySocks is installed. So requests carries everything.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import httplib2
from google.auth import credentials as google_credentials
from google.auth import exceptions as google_exceptions
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account

from loomio_backup.config import DriveStore
from loomio_backup.errors import StoreAuth
from loomio_backup.stores.bandwidth import Bandwidth, PacedBody
from loomio_backup.stores.drive_answers import making_sense

TIMEOUT = 60  # seconds without a byte
_SERVICE_ACCOUNT_SCOPE = "https://www.googleapis.com/auth/drive"

# The libraries log every refusal as a warning, which Python prints to stderr where nobody handles it; there,
# our own sentence is to stand alone.
for _library in ("googleapiclient", "google.auth"):
    logging.getLogger(_library).addHandler(logging.NullHandler())
# At its most talkative, urllib3 logs every address, that of an upload session among them: a secret.
logging.getLogger("urllib3").setLevel(logging.INFO)


class Transport:
    """An authorised requests session in the shape of the httplib2.Http that the library expects."""

    def __init__(self, session: AuthorizedSession, bandwidth: Bandwidth) -> None:
        self.session, self._bandwidth = session, bandwidth

    def request(
        self, uri: str, method: str = "GET", body: bytes | str | None = None, headers: Any = None, **_: Any
    ) -> tuple[httplib2.Response, bytes]:
        data = body.encode() if isinstance(body, str) else body
        paced = PacedBody(data, self._bandwidth) if data else data
        answer = self.session.request(  # type: ignore[no-untyped-call]
            method, uri, data=paced, headers=dict(headers or {}), timeout=TIMEOUT, allow_redirects=False
        )
        # The status comes last: some proxies send a header of that name.
        return httplib2.Response({**answer.headers, "status": str(answer.status_code)}), answer.content


class _TokenOnly(google_credentials.Credentials):
    """Credentials that only fetch tokens: without the lookup thread of service accounts, and keeping nothing
    of an answer that makes no sense. `make` gives Google's own credentials, new for each refresh.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        make()  # what is wrong with the credentials is to be told now
        self._make = make

    def refresh(self, request: Any) -> None:
        """Fetch a token. RefreshError where the endpoint refuses, NotDrive where it talks nonsense."""
        inner = self._make()
        with making_sense():
            inner.refresh(request)
            if not isinstance(inner.token, str) or not inner.token.isascii():
                raise TypeError("the access token is not text")
        self.token, self.expiry = inner.token, inner.expiry


def open_credentials(settings: DriveStore, secret: Mapping[str, Any]) -> Any:
    """Google credentials from the dictionary of their JSON file; StoreAuth when it is not one."""
    kind = secret.get("type")
    try:
        if kind == "authorized_user":
            # No scopes: the token carries what was granted, drive.file as a rule, drive.readonly in need.
            return _TokenOnly(
                lambda: user_credentials.Credentials(  # type: ignore[no-untyped-call]
                    None,
                    refresh_token=secret["refresh_token"],
                    client_id=secret["client_id"],
                    client_secret=secret["client_secret"],
                    token_uri=settings.token_uri,
                )
            )
        if kind == "service_account":
            return _TokenOnly(
                lambda: service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
                    {**secret, "token_uri": settings.token_uri},
                    scopes=[_SERVICE_ACCOUNT_SCOPE],
                    subject=settings.subject,
                )
            )
    except KeyError as error:
        raise StoreAuth(
            f"the Drive credentials lack {error}. Nothing was done. Complete drive.credentials."
        ) from None
    except (ValueError, google_exceptions.GoogleAuthError):
        # The library's message may quote the key: say only where to look.
        raise StoreAuth(
            "the service account's private key is unreadable. Nothing was done. Check drive.credentials."
        ) from None
    raise StoreAuth(
        f"the Drive credentials are of type {kind!r}; authorized_user or service_account is expected. "
        "Nothing was done. Check drive.credentials."
    )
