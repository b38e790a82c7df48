"""A crawler that knows nothing of ours: Python's own client and parser, one page after the other. Prints the same report."""
import http.client
import sys
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.found += [v for n, v in attrs if n == "href" and v]


def ask(url):
    u = urlsplit(url)
    c = http.client.HTTPConnection(u.netloc, timeout=60)
    c.request("GET", (u.path or "/") + ("?" + u.query if u.query else ""))
    r = c.getresponse()
    return r.status, r.getheader("Location"), r.read().decode()


def targets(base, links):
    out = {urldefrag(urljoin(base, l)).url for l in links}
    out = {u.removesuffix("?") for u in out if urlsplit(u).scheme in ("http", "https")}
    here = {u for u in out if urlsplit(u).netloc == urlsplit(base).netloc}
    return here, len(out) - len(here)


start = sys.argv[1]
queue, seen, referrers, dead = [start], {start}, {}, {}
pages = redirects = links = elsewhere = 0
while queue:
    url = queue.pop()
    status, location, body = ask(url)
    here, out = set(), 0
    if status == 200:
        pages += 1
        parser = Links()
        parser.feed(body)
        here, out = targets(url, parser.found)
        links += len(here)
    elif status == 301:
        redirects += 1
        here, out = targets(url, [location])
    elif status == 404:
        dead[url] = status
    else:
        sys.exit(f"{url}: {status}")
    elsewhere += out
    for to in here:
        referrers.setdefault(to, []).append(url)
        if to not in seen:
            seen.add(to)
            queue.append(to)

path = lambda u: urlsplit(u).path
print(f"pages      {pages:6}")
print(f"redirects  {redirects:6}")
print(f"links      {links:6}")
print(f"elsewhere  {elsewhere:6}")
print(f"dead links {sum(len(referrers[u]) for u in dead):6}")
for u in sorted(dead):
    print(f"  {dead[u]} {path(u)} <- {' '.join(path(f) for f in sorted(referrers[u]))}")
