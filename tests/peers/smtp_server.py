#!/usr/bin/env python3
"""A real SMTP server on 127.0.0.1 for tests, one JSON line on standard output for each thing that happens.

  smtp_server.py --dir DIR [--mode starttls|tls] [--user U --password P] [--tempfail N] [--reject ADDRESS]

The first line is {"ready": true, "port": …, "ca": …}: a throw-away CA, made in DIR with the openssl command, has signed
the server's certificate, so that clients verify for real. STARTTLS and a login are demanded before a mail is taken.
--tempfail answers 451 to the first N mails, --reject answers 550 to a recipient. Ends when its standard input does.
Needs aiosmtpd 1.4.6 (PyPI).
"""
import argparse
import asyncio
import email
import email.policy
import json
import os
import ssl
import subprocess
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def tell(**what):
    print(json.dumps(what), flush=True)


def certificates(directory):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=throw-away test CA", "-keyout", "ca.key", "-out", "ca.pem",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", *key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    with open(os.path.join(directory, "extensions"), "w", encoding="utf-8") as file:
        file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "extensions", "-out", "server.pem")
    return [os.path.join(directory, name) for name in ("ca.pem", "server.pem", "server.key")]


class Handler:
    def __init__(self, options):
        self.options = options
        self.to_fail = options.tempfail

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address == self.options.reject:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.to_fail > 0:
            self.to_fail -= 1
            tell(event="tempfail")
            return "451 4.3.0 try again later"
        mail = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        secured = server.transport.get_extra_info("ssl_object")
        tell(event="mail", sender=envelope.mail_from, recipients=envelope.rcpt_tos, subject=mail["subject"],
             message_id=mail["message-id"], text=mail.get_content(), authenticated=bool(session.authenticated),
             tls=secured.version() if secured else None)
        return "250 OK queued"


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--mode", choices=["starttls", "tls"], default="starttls")
    parser.add_argument("--user", default="node")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--tempfail", type=int, default=0)
    parser.add_argument("--reject")
    options = parser.parse_args()
    ca, certificate, key = certificates(options.dir)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    is_starttls = options.mode == "starttls"

    def login(server, session, envelope, mechanism, data):
        right = (data.login.decode(), data.password.decode()) == (options.user, options.password)
        tell(event="login", user=data.login.decode(), right=right)
        return AuthResult(success=right, handled=right)

    handler = Handler(options)

    def connection():
        return SMTP(handler, hostname="localhost", ident="test", enable_SMTPUTF8=True, require_starttls=is_starttls,
                    tls_context=context if is_starttls else None, authenticator=login, auth_required=True,
                    auth_require_tls=is_starttls, auth_exclude_mechanism=())

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0, ssl=None if is_starttls else context)
    tell(ready=True, port=server.sockets[0].getsockname()[1], ca=ca)
    # whoever started it holds the other end; it goes away with them
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
