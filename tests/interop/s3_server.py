#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of the API of S3 as a multipart upload needs, for a test: it checks what S3 checks of it.

s3_server.py STATE [BREAK]: listens on a free port of 127.0.0.1, which it writes to STATE/port; a complete
object goes to STATE/object. The first try of part BREAK is broken off in the middle.
"""
import hashlib
import http.server
import os
import re
import sys
import threading
import urllib.parse

LEAST = 1 << 18  # S3 has 5 MiB; the test's image is small
state = sys.argv[1]
to_break = int(sys.argv[2]) if len(sys.argv) > 2 else 0
lock = threading.Lock()
uploads = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def query(self):
        return dict(urllib.parse.parse_qsl(self.path.partition("?")[2], keep_blank_values=True))

    def body(self):
        length = self.headers.get("Content-Length")
        if length is None or self.headers.get("Transfer-Encoding"):
            return None
        data = self.rfile.read(int(length))
        return data if len(data) == int(length) else None

    def do_PUT(self):
        global to_break
        query = self.query()
        number = int(query.get("partNumber", 0))
        with lock:
            broken = number == to_break
            if broken:
                to_break = 0
        if broken:
            self.rfile.read(100000)
            self.connection.shutdown(2)
            self.close_connection = True
            return None
        data = self.body()
        if data is None:
            self.close_connection = True
            return self.answer(411)
        with lock:
            if query.get("uploadId") not in uploads:
                return self.answer(404)
            uploads[query["uploadId"]][number] = data
        return self.answer(200, headers=[("ETag", '"%s"' % hashlib.md5(data).hexdigest())])

    def do_POST(self):
        query = self.query()
        body = self.body() or b""
        if "uploads" in query:
            with lock:
                name = "upload-%d" % (len(uploads) + 1)
                uploads[name] = {}
            return self.answer(200, b"<?xml version='1.0'?><InitiateMultipartUploadResult><UploadId>" +
                               name.encode() + b"</UploadId></InitiateMultipartUploadResult>")
        with lock:
            parts = uploads.get(query.get("uploadId"))
        if parts is None:
            return self.answer(404)
        named = re.findall(rb"<Part><PartNumber>(\d+)</PartNumber><ETag>(.*?)</ETag></Part>", body)
        numbers = [int(number) for number, _ in named]
        if not named or numbers != sorted(set(numbers)):
            return self.answer(400, b"InvalidPartOrder")
        for number, etag in named:
            data = parts.get(int(number))
            if data is None or etag.decode().strip('"') != hashlib.md5(data).hexdigest():
                return self.answer(400, b"InvalidPart")
            if len(data) < LEAST and int(number) != numbers[-1]:
                return self.answer(400, b"EntityTooSmall")
        with open(os.path.join(state, "object"), "wb") as out:
            for number in numbers:
                out.write(parts[number])
        return self.answer(200, b"<CompleteMultipartUploadResult/>")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(os.path.join(state, "new"), "w") as port:
    port.write("%d\n" % server.server_address[1])
os.rename(os.path.join(state, "new"), os.path.join(state, "port"))
server.serve_forever()
