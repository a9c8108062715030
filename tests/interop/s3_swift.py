#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenStack Swift with its S3 API, in one process: a server that looks at signatures and at all else.

s3_swift.py STATE: listens on a free port of 127.0.0.1, which it writes to STATE/port, and keeps everything in
STATE. The key is "tester", its secret "testing".

s3_swift.py --sign URL: print the URL with a signature in its query, good for GET alone and for ten minutes.
"""
import datetime
import hashlib
import hmac
import os
import sys
import urllib.parse

KEY, SECRET, REGION = "test:tester", "testing", "us-east-1"

PROXY = """
[DEFAULT]
swift_dir = %(state)s
log_name = proxy
[pipeline:main]
pipeline = catch_errors gatekeeper cache s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
object_post_as_copy = false
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""

STORAGE = """
[DEFAULT]
swift_dir = %(state)s
devices = %(state)s/devices
mount_check = false
fallocate_reserve = 0
[pipeline:main]
pipeline = %(kind)s-server
[app:%(kind)s-server]
use = egg:swift#%(kind)s
"""


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256)


def sign(url):
    now = datetime.datetime.utcnow()
    day, stamp = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = "%s/%s/s3/aws4_request" % (day, REGION)
    parts = urllib.parse.urlsplit(url)
    query = urllib.parse.urlencode(sorted({
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": KEY + "/" + scope,
        "X-Amz-Date": stamp,
        "X-Amz-Expires": "600",
        "X-Amz-SignedHeaders": "host",
    }.items()), quote_via=urllib.parse.quote, safe="")
    request = "\n".join(["GET", parts.path, query, "host:" + parts.netloc, "", "host",
                         "UNSIGNED-PAYLOAD"])
    key = ("AWS4" + SECRET).encode()
    for word in (day, REGION, "s3", "aws4_request"):
        key = digest(key, word).digest()
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                      hashlib.sha256(request.encode()).hexdigest()])
    return "%s?%s&X-Amz-Signature=%s" % (url, query, digest(key, text).hexdigest())


def name_account(app):
    """Swift's names have a colon, at which curl ends the name. The header with it is not signed."""
    def call(env, start_response):
        signed = env.get("HTTP_AUTHORIZATION", "")
        env["HTTP_AUTHORIZATION"] = signed.replace("Credential=tester/", "Credential=" + KEY + "/")
        if not signed:
            del env["HTTP_AUTHORIZATION"]
        return app(env, start_response)
    return call


def serve(state):
    import eventlet
    import eventlet.wsgi
    eventlet.monkey_patch()
    with open(state + "/swift.conf", "w") as conf:
        conf.write("[swift-hash]\nswift_hash_path_suffix = test\n")
    from swift.common import utils
    utils.SWIFT_CONF_FILE = state + "/swift.conf"
    utils.validate_hash_conf()
    from swift.common import wsgi
    from swift.common.ring import RingBuilder
    os.makedirs(state + "/devices/disk")
    apps = []
    for kind in ("account", "container", "object"):
        socket = eventlet.listen(("127.0.0.1", 0))
        ring = RingBuilder(1, 1, 0)
        ring.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1",
                      "port": socket.getsockname()[1], "device": "disk"})
        ring.rebalance()
        ring.get_ring().save("%s/%s.ring.gz" % (state, kind))
        apps.append((socket, kind, STORAGE))
    apps.append((eventlet.listen(("127.0.0.1", 0)), "proxy", PROXY))
    threads = []
    for socket, kind, text in apps:
        with open("%s/%s.conf" % (state, kind), "w") as conf:
            conf.write(text % {"state": state, "kind": kind})
        app = wsgi.loadapp(conf.name, {"log_name": kind})
        app = name_account(app) if kind == "proxy" else app
        threads.append(eventlet.spawn(eventlet.wsgi.server, socket, app,
                                      log=open(state + "/log", "a"),
                                      protocol=wsgi.SwiftHttpProtocol))
    with open(state + "/new", "w") as port:
        port.write("%d\n" % apps[-1][0].getsockname()[1])
    os.rename(state + "/new", state + "/port")
    threads[-1].wait()


if sys.argv[1] == "--sign":
    print(sign(sys.argv[2]))
else:
    serve(os.path.abspath(sys.argv[1]))
