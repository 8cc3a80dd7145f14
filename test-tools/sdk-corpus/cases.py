"""Settings, each with one thing to be read right. See generate.py for what becomes of them.

`ours`, where we do otherwise on purpose: {"refuses": words of our error} or {"as": effective
settings that differ from the SDK's, "because": reason}.
"""

import random

CASES = []
BASE = "auth_url: https://k.example:5000/v3, username: u, password: p, project_name: t"
DOMAINS = ", user_domain_name: Du, project_domain_name: Dp"
TEXT = "a scalar is text as written; YAML 1.1 would make something else of it"


def case(ident, files=None, env=None, cloud="dev", **ours):
    one = {"id": ident, "files": files or {}, "env": env or {}}
    if cloud:
        one["cloud"] = cloud
    if "refuses" in ours:
        one["ours"] = {"refuses": ours["refuses"]}
    elif ours:
        one["ours"] = {"as": ours["as_"], "because": ours["because"]}
    CASES.append(one)


def clouds(ident, text, env=None, more=None, **ours):
    """A clouds.yaml below ~/.config, and what lies beside it."""
    files = {"config/clouds.yaml": text}
    files |= {f"config/{name}": content for name, content in (more or {}).items()}
    case(ident, files, env, **ours)


def entry(ident, auth=BASE + DOMAINS, rest="", **ours):
    """One entry: `auth` as a flow map, and lines beside it."""
    lines = "".join(f"    {line}\n" for line in rest.splitlines())
    clouds(ident, f"clouds:\n  dev:\n    auth: {{{auth}}}\n{lines}", **ours)


ENV = {
    "OS_AUTH_URL": "https://k.example:5000/v3",
    "OS_USERNAME": "u",
    "OS_PASSWORD": "p",
    "OS_PROJECT_NAME": "t",
    "OS_USER_DOMAIN_NAME": "Du",
    "OS_PROJECT_DOMAIN_NAME": "Dp",
}


def env(ident, more=None, without=(), **ours):
    variables = {k: v for k, v in (ENV | (more or {})).items() if k not in without}
    case(ident, {}, variables, cloud=None, **ours)


# Plain ones, and domains.
entry("plain")
entry("no-domains", BASE)
entry("user-domain-only", BASE + ", user_domain_name: Du")
entry("project-domain-only", BASE + ", project_domain_name: Dp")
entry("domain-ids", BASE + ", user_domain_id: du, project_domain_id: dp")
entry("domain-ids-and-names", BASE + ", user_domain_id: du, user_domain_name: Du, project_domain_id: dp, project_domain_name: Dp")
entry("domain-name-of-both", BASE + ", domain_name: D")
entry("domain-id-of-both", BASE + ", domain_id: d")
entry("domain-name-and-user-domain", BASE + ", domain_name: D, user_domain_name: Du")
entry("domain-id-and-user-domain-name", BASE + ", domain_id: d, user_domain_name: Du")
entry("default-domain-id", BASE + ", default_domain_id: dd")
entry("default-domain-name", BASE + ", default_domain_name: Dd")
entry("default-domain-id-and-user-name", BASE + ", default_domain_id: dd, user_domain_name: Du")
entry("default-domain-beside", BASE, "default_domain_id: dd")
entry("default-domain-v3password", BASE, "auth_type: v3password\ndefault_domain_id: dd\nuser_domain_name: Du\nproject_domain_name: Dp")
entry("domain-beside-auth", BASE, "user_domain_name: Du\nproject_domain_name: Dp")
entry("domain-beside-wins", BASE + DOMAINS, "user_domain_name: Other")
entry("domain-name-beside", BASE, "domain_name: D")
entry("hyphens-in-auth", "auth-url: https://h.example/v3, username: u, password: p, project-name: t, user-domain-name: Du, project-domain-name: Dp")
entry("project-id", "auth_url: https://k.example/v3, username: u, password: p, project_id: p1, user_domain_name: Du")
entry("project-id-and-name", BASE + DOMAINS + ", project_id: p1")
entry("tenant-name", "auth_url: https://k.example/v3, username: u, password: p, tenant_name: t" + DOMAINS)
entry("tenant-id", "auth_url: https://k.example/v3, username: u, password: p, tenant_id: t1" + DOMAINS)
entry("tenant-and-project", BASE + DOMAINS + ", tenant_name: old")
entry("tenant-beside-project", BASE + DOMAINS, "tenant_name: old")
entry("project-beside-wins", BASE + DOMAINS, "project_name: beside")
entry("user-id", "auth_url: https://k.example/v3, user_id: u1, password: p, project_name: t, project_domain_id: dp")
entry("user-id-and-name", BASE + DOMAINS + ", user_id: u1")
entry("user-name-old-word", "auth_url: https://k.example/v3, user_name: u, password: p, project_name: t" + DOMAINS)
entry("username-beside-auth", "auth_url: https://k.example/v3, password: p, project_name: t" + DOMAINS, "username: u")
entry("username-in-auth-wins", BASE + DOMAINS, "username: beside")
entry("password-beside-auth", "auth_url: https://k.example/v3, username: u, project_name: t" + DOMAINS, "password: p")
entry("password-in-auth-wins", BASE + DOMAINS, "password: beside")
entry("auth-url-beside", "username: u, password: p, project_name: t" + DOMAINS, "auth_url: https://b.example/v3")
entry("empty-in-auth-gives-way", "auth_url: https://k.example/v3, username: '', password: p, project_name: t" + DOMAINS, "username: u")
entry("empty-project-id", BASE + DOMAINS + ", project_id: ''")
entry("null-username-gives-way", "auth_url: https://k.example/v3, username: ~, password: p, project_name: t" + DOMAINS, "username: u")
for key in ("project_id", "user_domain_id", "project_domain_id"):
    entry(f"null-{key}", BASE + DOMAINS + f", {key}: ~", refuses="has no value")
entry("null-region", BASE + DOMAINS, "region_name: ~")
entry("unknown-key-in-auth", BASE + DOMAINS + ", verify: false", refuses="no part of a login")
entry("typo-in-auth", BASE + DOMAINS + ", user_domian_name: x", refuses="did you mean `user_domain_name`")
entry("unknown-key-beside", BASE + DOMAINS, "frobnicate: 3\nfloating_ip_source: neutron\nimage_format: raw")

# Where Keystone is.
for n, url in enumerate([
    "https://k.example:5000", "https://k.example:5000/", "https://k.example:5000/v3/", "http://k.example/identity", "http://k.example/identity/v3",
    "http://[2001:db8::1]:5000/v3", "https://k.example/a%20b/v3", "http://10.0.0.1:35357/v3", "https://k.example:443/v3", "HTTPS://K.Example/v3",
    "https://k.example//v3", "https://xn--mller-kva.example/v3",
]):
    entry(f"auth-url-{n}", f"auth_url: '{url}', username: u, password: p, project_name: t" + DOMAINS)
rest = ", username: u, password: p, project_name: t" + DOMAINS
entry("auth-url-v2", "auth_url: https://k.example/v2.0" + rest, refuses="Identity v2.0")
entry("auth-url-v2-slash", "auth_url: https://k.example/v2.0/" + rest, refuses="Identity v2.0")
entry("auth-url-none", "username: u, password: p, project_name: t" + DOMAINS)
entry("auth-url-no-scheme", "auth_url: k.example/v3" + rest, refuses="is no URL")
entry("auth-url-with-login", "auth_url: https://a:b@k.example/v3" + rest, refuses="has a login in it")
entry("auth-url-region", "auth_url: 'https://{region_name}.k.example/v3'" + rest, "region_name: r1")
entry("auth-url-interface", "auth_url: 'https://{interface}.k.example/v3'" + rest, "interface: internal")
entry("auth-url-braces-twice", "auth_url: 'https://k.example/{{x}}/v3'" + rest)
entry("auth-url-unknown-name", "auth_url: 'https://{nobody}.k.example/v3'" + rest)
entry("auth-url-lone-brace", "auth_url: 'https://k.example/}/v3'" + rest)
entry("auth-url-beside-not-filled", "username: u, password: p, project_name: t" + DOMAINS, "auth_url: 'https://k.example/{region_name}'\nregion_name: r1")

# Kinds of login.
APP = "auth_url: https://k.example/v3, application_credential_id: c1, application_credential_secret: s"
NAMED = "auth_url: https://k.example/v3, application_credential_name: c, application_credential_secret: s"
entry("app-id", APP, "auth_type: v3applicationcredential")
entry("app-id-not-said", APP)
entry("app-id-beside", "auth_url: https://k.example/v3", "auth_type: v3applicationcredential\napplication_credential_id: c1\napplication_credential_secret: s")
entry("app-name-user-id", NAMED + ", user_id: u1", "auth_type: v3applicationcredential")
entry("app-name-username", NAMED + ", username: u, user_domain_name: Du", "auth_type: v3applicationcredential")
entry("app-name-domain-id", NAMED + ", username: u, user_domain_id: du", "auth_type: v3applicationcredential")
entry("app-name-no-domain", NAMED + ", username: u", "auth_type: v3applicationcredential")
entry("app-id-and-name", APP + ", application_credential_name: c", "auth_type: v3applicationcredential")
entry("app-no-secret", "auth_url: https://k.example/v3, application_credential_id: c1", "auth_type: v3applicationcredential")
entry("app-with-project", APP + ", project_id: p1", "auth_type: v3applicationcredential")
entry("app-domain-beside", NAMED + ", username: u", "auth_type: v3applicationcredential\nuser_domain_name: Du")
TOKEN = "auth_url: https://k.example/v3, token: gAAA, project_name: t, project_domain_name: Dp"
entry("token", TOKEN, "auth_type: token")
entry("v3token", TOKEN, "auth_type: v3token")
entry("token-not-said", TOKEN)
entry("token-old-word", "auth_url: https://k.example/v3, auth_token: gAAA, project_id: p1", "auth_type: token")
entry("token-beside", "auth_url: https://k.example/v3, project_id: p1", "auth_type: token\ntoken: gAAA")
entry("token-beside-old-word", "auth_url: https://k.example/v3, project_id: p1", "auth_type: token\nauth-token: gAAA")
entry("token-default-domain", "auth_url: https://k.example/v3, token: gAAA, project_name: t, default_domain_name: Dd", "auth_type: token")
entry("token-two-words", "auth_url: https://k.example/v3, token: new, auth_token: old, project_id: p1", "auth_type: token")
entry("v3password", BASE + DOMAINS, "auth_type: v3password")
entry("password-said", BASE + DOMAINS, "auth_type: password")
entry("v3password-no-domain", BASE, "auth_type: v3password")
entry("auth-plugin-old-word", BASE + DOMAINS, "auth_plugin: v3password", refuses="`auth_plugin` is passed over")
entry("auth-plugin-and-type", BASE + DOMAINS, "auth_plugin: password\nauth_type: password")
entry("auth-type-hyphen", BASE + DOMAINS, "auth-type: v3password")
for kind in ("v2password", "v3oidcpassword", "v3totp", "http_basic", "none", "admin_token", "v3websso", "v3multifactor", "nonsense"):
    entry(f"kind-{kind}", BASE + DOMAINS, f"auth_type: {kind}", refuses="is not supported")
SCOPE = "auth_url: https://k.example/v3, username: u, password: p, user_domain_name: Du"
entry("scope-system", SCOPE + ", system_scope: all", refuses="images belong to projects")
entry("scope-system-beside", SCOPE, "system_scope: all", refuses="images belong to projects")
entry("scope-domain", SCOPE + ", domain_name: D", refuses="images belong to projects")
entry("scope-domain-id", SCOPE + ", domain_id: d", refuses="images belong to projects")
entry("scope-none", SCOPE, refuses="`project_name`")
entry("scope-trust", SCOPE + ", trust_id: x", refuses="by a trust")
entry("no-password", "auth_url: https://k.example/v3, username: u, project_name: t" + DOMAINS)
entry("no-user", "auth_url: https://k.example/v3, password: p, project_name: t" + DOMAINS)

# Text as written: passwords as YAML has them, and what is like a number.
HEAD = "clouds:\n  dev:\n    auth:\n      auth_url: https://k.example/v3\n      username: u\n      user_domain_name: Du\n      project_domain_name: Dp\n"


def password(ident, written, means=None):
    ours = {"as_": {"secret": means}, "because": TEXT} if means is not None else {}
    clouds(f"password-{ident}", f"{HEAD}      project_name: t\n      password: {written}\n", **ours)


for n, written in enumerate([
    "12345", "12e3", "'1.10'", '"0x10"', "a#b", "'a #b'", "p:q", "'it''s'", '"a\\nb"', '"\\x41\\u00e9"', "ümläut", "日本語", "'{region_name}'", "$HOME",
    "'%s'", "a{b}c", "'!x'", "'*y'", "'&z'", "p@ss", "-5", "a b  c", "'  lead'", "'~'", "'null'", "'yes'", "\"tab\\tq\"", "|-\n        long\n        er",
    ">-\n        fol\n        ded", "!!str 1.10", "0", "'@at'", "'`tick`'", "\"\\\\back\"", "x,y", "'[]{}'", "~x", "=", "'='", "1e3", "0b", "a'b\"c",
]):
    password(str(n), written)
for ident, written in {
    "float": "1.10", "hex": "0x10", "octal": "0755", "binary": "0b11", "under": "1_000", "sexagesimal": "1:30", "plus": "+5", "dot": ".5",
    "exp": "1.0e+3", "yes": "yes", "no": "No", "true": "true", "off": "off", "date": "2026-11-26", "inf": ".inf", "nan": ".NaN", "leading": "012",
    "time": "2001-12-14t21:59:43.10-05:00", "minus-float": "-0.50",
}.items():
    password(ident, written, written)
password("null", "null")
password("tilde", "~")
password("nothing", "")
for ident, written in {"dot": ".5", "float": "1.10", "yes": "yes", "hex": "0x1F"}.items():
    clouds(f"project-{ident}", f"{HEAD}      password: p\n      project_name: {written}\n",
           as_={"project": {"name": written, "domain": {"name": "Dp"}}}, because=TEXT)
clouds("project-digits", f"{HEAD}      password: p\n      project_name: 12345\n")
clouds("project-long-digits", f"{HEAD}      password: p\n      project_id: 123456789012345678901234567890\n")
clouds("project-zeros", f"{HEAD}      password: p\n      project_id: 00123\n", as_={"project": {"id": "00123"}}, because=TEXT)
clouds("project-exponent", f"{HEAD}      password: p\n      project_id: 12345e67\n")
clouds("project-quoted", f"{HEAD}      password: p\n      project_id: '00123'\n")

# Anchors, merges, and other YAML.
ANCHOR = "x-base: &base\n  region_name: r1\n  interface: internal\n  auth: &auth {%s}\n" % (BASE + DOMAINS)
clouds("merge-entry", ANCHOR + "clouds:\n  dev:\n    <<: *base\n")
clouds("merge-entry-override", ANCHOR + "clouds:\n  dev:\n    <<: *base\n    region_name: r2\n")
clouds("merge-entry-override-before", ANCHOR + "clouds:\n  dev:\n    region_name: r2\n    <<: *base\n")
clouds("merge-entry-auth-replaced", ANCHOR + "clouds:\n  dev:\n    <<: *base\n    auth: {auth_url: 'https://o.example', username: o, password: q, project_id: p1, user_domain_id: x}\n")
clouds("merge-auth", ANCHOR + "clouds:\n  dev:\n    auth:\n      <<: *auth\n      project_name: other\n")
clouds("merge-both", ANCHOR + "clouds:\n  dev:\n    <<: *base\n    auth:\n      <<: *auth\n      password: other\n")
clouds("merge-list", ANCHOR + "x-more: &more {region_name: r9, verify: false}\nclouds:\n  dev:\n    <<: [*base, *more]\n")
clouds("merge-list-order", ANCHOR + "x-more: &more {region_name: r9, verify: false}\nclouds:\n  dev:\n    <<: [*more, *base]\n")
clouds("merge-chain", ANCHOR + "x-two: &two\n  <<: *base\n  region_name: r2\nclouds:\n  dev:\n    <<: *two\n    interface: admin\n")
clouds("merge-inline", "clouds:\n  dev:\n    <<: {region_name: r1}\n    auth: {%s}\n" % (BASE + DOMAINS))
clouds("merge-twice", ANCHOR + "x-more: &more {region_name: r9, verify: false}\nclouds:\n  dev:\n    <<: *base\n    <<: *more\n")
clouds("merge-null", "clouds:\n  dev:\n    <<: ~\n    auth: {%s}\n" % (BASE + DOMAINS))
clouds("merge-of-text", "clouds:\n  dev:\n    <<: text\n    auth: {%s}\n" % (BASE + DOMAINS))
clouds("merge-quoted", "clouds:\n  dev:\n    '<<': {region_name: r1}\n    auth: {%s}\n" % (BASE + DOMAINS))
clouds("merge-hyphens", "x: &a {auth-url: 'https://one.example', username: u, password: p, project_id: p1, user-domain-id: d}\nclouds:\n  dev:\n    auth:\n      <<: *a\n      auth_url: https://two.example\n")
clouds("merge-clouds", "x: &all\n  dev:\n    auth: {%s}\nclouds:\n  <<: *all\n" % (BASE + DOMAINS))
clouds("alias-scalar", "x: &p sesame\nclouds:\n  dev:\n    auth: {%s, password: *p}\n" % (BASE.replace(", password: p", "") + DOMAINS))
clouds("alias-auth", "x: &auth {%s}\nclouds:\n  dev:\n    auth: *auth\n" % (BASE + DOMAINS))
clouds("alias-of-sibling", "clouds:\n  one: &one\n    auth: {%s}\n    region_name: r1\n  dev: *one\n" % (BASE + DOMAINS))
clouds("merge-sibling", "clouds:\n  one: &one\n    auth: {%s}\n    region_name: r1\n  dev:\n    <<: *one\n    region_name: r2\n" % (BASE + DOMAINS))
clouds("key-twice", "clouds:\n  dev:\n    region_name: r1\n    auth: {%s}\n    region_name: r2\n" % (BASE + DOMAINS))
clouds("comments", "# c\nclouds: # c\n  dev: # c\n    # c\n    auth: {%s} # c\n" % (BASE + DOMAINS))
clouds("document-start", "---\nclouds:\n  dev:\n    auth: {%s}\n...\n" % (BASE + DOMAINS))
clouds("two-documents", "clouds:\n  dev:\n    auth: {%s}\n---\nclouds: {}\n" % (BASE + DOMAINS))
clouds("a-tag", "clouds:\n  dev:\n    auth: {%s}\n    verify: !vault x\n" % (BASE + DOMAINS))
clouds("byte-order-mark", "\ufeffclouds:\n  dev:\n    auth: {%s}\n" % (BASE + DOMAINS))
clouds("windows-lines", ("clouds:\n  dev:\n    auth: {%s}\n    region_name: r1\n" % (BASE + DOMAINS)).replace("\n", "\r\n"))
clouds("flow-whole", "{clouds: {dev: {auth: {%s}}}}" % (BASE + DOMAINS))
clouds("broken", "clouds: [")
clouds("empty", "")
clouds("a-list", "- clouds\n")
clouds("no-clouds", "cloud: {}\n")
clouds("entry-null", "clouds:\n  dev:\n")
clouds("entry-text", "clouds:\n  dev: x\n")
clouds("auth-null", "clouds:\n  dev:\n    auth:\n")
clouds("auth-text", "clouds:\n  dev:\n    auth: x\n")
clouds("no-such-cloud", "clouds:\n  other:\n    auth: {%s}\n" % (BASE + DOMAINS))
clouds("other-sections", "cache: {auth: true}\nclient: {force_ipv4: true}\nclouds:\n  dev:\n    auth: {%s}\n" % (BASE + DOMAINS))
for n, name in enumerate(["a b", "ümläut", "dev/prod", "1", "1.10", "yes", "Dev"]):
    quoted = name if n in (0, 1, 2, 6) else f"'{name}'"
    case(f"name-{n}", {"config/clouds.yaml": "clouds:\n  %s:\n    auth: {%s}\n" % (quoted, BASE + DOMAINS)}, cloud=name)
j = '{"clouds": {"dev": {"auth": {"auth_url": "https://k.example/v3", "username": "u", "password": "p\\u00e9", "project_id": "p1", "user_domain_id": "d"}, "verify": false}}}'
case("json", {"config/clouds.json": j})
case("yaml-before-json", {"config/clouds.json": j, "config/clouds.yaml": "clouds:\n  dev:\n    auth: {%s}\n" % (BASE + DOMAINS)})
case("yml", {"config/clouds.yml": "clouds:\n  dev:\n    auth: {%s}\n" % (BASE + DOMAINS)})

# Regions.
A = BASE + DOMAINS
entry("region", A, "region_name: r1")
entry("region-hyphen", A, "region-name: r1")
entry("region-digits", A, "region_name: 1")
entry("region-comma", A, "region_name: r1,r2")
entry("region-list", A, "region_name: [r1, r2]")
entry("region-empty", A, "region_name: ''")
entry("regions", A, "regions: [r1, r2]")
entry("regions-one", A, "regions: [r1]")
entry("regions-none", A, "regions: []")
entry("regions-none-and-name", A, "regions: []\nregion_name: r1", as_={"region": "r1"},
      because="whoever names a region means it, and the catalog's first is anybody's guess")
entry("regions-and-name", A, "regions: [r1, r2]\nregion_name: r2")
entry("regions-text", A, "regions: r1", refuses="`regions` is no list")
entry("region-blank", A, "region_name: r 3")
VALUES = "regions:\n- name: r1\n  values: {interface: internal, auth: {project_name: of-r1}}\n- name: r2\n  values: {verify: false, image_endpoint_override: 'http://g2.example'}\n- r3"
entry("regions-values", A, VALUES)
entry("regions-name-only", A, "regions:\n- name: r1\n- name: r2")
entry("regions-strange-key", A, "regions:\n- {name: r1, value: {}}")
entry("regions-no-name", A, "regions:\n- {values: {}}")
entry("regions-null-value", A, "regions:\n- name: r1\n  values: {interface: ~}\ninterface: admin")
entry("regions-values-region-name", A, "regions:\n- name: r1\n  values: {region_name: r7}")
entry("regions-digits", A, "regions: [1, 2]")
entry("regions-auth-url", "auth_url: 'https://{region_name}.example/v3'" + rest, "regions: [r1, r2]")
for ident, region in {"first": "r1", "second": "r2", "third": "r3"}.items():
    entry(f"regions-choose-{ident}", A, VALUES, env={"OS_REGION_NAME": region})
entry("regions-choose-unknown", A, VALUES, env={"OS_REGION_NAME": "r9"})
entry("region-choose-same", A, "region_name: r1", env={"OS_REGION_NAME": "r1"})
entry("region-choose-other", A, "region_name: r1", env={"OS_REGION_NAME": "r2"})
entry("region-choose-none-there", A, "", env={"OS_REGION_NAME": "r2"})
entry("region-choose-case", A, "regions: [R1]", env={"OS_REGION_NAME": "r1"})
entry("region-choose-empty", A, "regions: [r1, r2]", env={"OS_REGION_NAME": ""})
entry("region-of-service", A, "region_name: r1\nimage_region_name: shared\nvolumev3_region_name: v")

entry("region-of-service-list", A, "compute_region_name: [r1, r2]", refuses="`compute_region_name` is one name")
entry("region-two-words", A, "profile: elastx\nregion-name: r9")
entry("region-two-words-chosen", A, "regions: [r1, r2]\nprofile: auro\nregion-name: r9", env={"OS_REGION_NAME": "r2"})

# Interfaces.
for word in ("public", "internal", "admin", "publicURL", "internalURL", "adminURL"):
    entry(f"interface-{word}", A, f"interface: {word}")
entry("interface-list", A, "interface: [internal, public]")
entry("interface-list-url", A, "interface: [internalURL, public]")
entry("interface-list-one", A, "interface: [admin]")
entry("interface-list-none", A, "interface: []")
entry("interface-empty", A, "interface: ''")
entry("interface-null", A, "interface: ~")
entry("interface-comma", A, "interface: 'internal,public'", refuses="is not one of")
entry("interface-upper", A, "interface: Public", refuses="is not one of")
entry("interface-unknown", A, "interface: outside", refuses="is not one of")
entry("interface-map", A, "interface: {a: b}")
entry("endpoint-type", A, "endpoint_type: internalURL")
entry("endpoint-type-and-interface", A, "interface: internal\nendpoint_type: admin")
entry("interface-and-endpoint-type", A, "endpoint_type: admin\ninterface: internal")
entry("endpoint-type-hyphen", A, "endpoint-type: internal")
entry("interface-of-service", A, "interface: internal\nimage_interface: public\nblock_storage_interface: admin")
entry("endpoint-type-of-service", A, "compute_endpoint_type: internalURL")
entry("interface-of-service-empty", A, "interface: internal\nimage_interface: ''")
entry("interface-of-service-list", A, "network_interface: [admin, internal]")

# Endpoints of services.
for word in ("compute", "image", "network", "block_storage", "volumev3", "volumev2", "volume", "block_store", "orchestration"):
    entry(f"override-{word}", A, f"{word}_endpoint_override: https://{word.replace('_', '-')}.example/x")
entry("override-endpoint-old-word", A, "image_endpoint: http://g.example:9292")
entry("override-both-words", A, "image_endpoint: http://old.example\nimage_endpoint_override: http://new.example")
entry("override-hyphens", A, "block-storage_endpoint_override: http://v.example/v3/p1")
entry("override-all-hyphens", A, "image-endpoint-override: http://g.example")
entry("override-two-words", A, "volume_endpoint_override: http://b.example/v3/x\nblock_storage_endpoint_override: http://a.example/v3/x")
entry("override-null", A, "image_endpoint_override: ~")
entry("override-empty", A, "image_endpoint_override: ''")
entry("override-region", A, "image_endpoint_override: 'http://{region_name}.g.example'\nregion_name: r1")
entry("override-of-another", A, "dns_endpoint_override: http://d.example\nobject_store_endpoint_override: http://s.example")
entry("override-no-url", A, "image_endpoint_override: nonsense", refuses="is no URL")
entry("override-with-login", A, "image_endpoint_override: 'http://a:b@g.example'", refuses="has a login in it")
entry("override-many", A, "compute_endpoint_override: http://n.example/v2.1\nimage_endpoint_override: http://g.example\nnetwork_endpoint_override: http://q.example:9696\norchestration_endpoint_override: http://h.example/v1/p1")
entry("api-versions", A, "image_api_version: 2\ncompute_api_version: '2.1'\nidentity_api_version: 3\nvolume_api_version: '3'")
entry("api-version-old", A, "image_api_version: 1")
entry("service-type", A, "volume_service_type: volumev2", refuses="is not supported")
entry("service-name", A, "compute_service_name: novax", refuses="is not supported")

# TLS.
for written in ("true", "false", "yes", "no", "True", "FALSE", "on", "Off"):
    entry(f"verify-{written}", A, f"verify: {written}")
entry("verify-null", A, "verify: ~")
entry("verify-path", A, "verify: /etc/ca.pem")
entry("verify-path-and-cacert", A, "verify: /etc/ca.pem\ncacert: /etc/other.pem")
for ident, written in {"quoted": "'false'", "zero": "0", "one": "1", "text": "nope", "empty": "''"}.items():
    entry(f"verify-{ident}", A, f"verify: {written}", refuses="true or false without quotes")
for written in ("true", "false", "yes", "no", "'true'", "'True'", "'false'", "'yes'", "'1'", "y", "~"):
    entry(f"insecure-{written}", A, f"insecure: {written}")
entry("insecure-1", A, "insecure: 1")
entry("insecure-and-cacert", A, "insecure: true\ncacert: /etc/ca.pem")
entry("cacert", A, "cacert: /etc/ca.pem")
entry("cacert-home", A, "cacert: ~/ca.pem")
entry("cacert-home-alone", A, "cacert: '~'")
entry("cacert-other-home", A, "cacert: ~root/ca.pem")
entry("cacert-relative", A, "cacert: certs/ca.pem")
entry("cacert-not-verified", A, "cacert: /etc/ca.pem\nverify: false")
entry("cacert-empty", A, "cacert: ''")
entry("cacert-null", A, "cacert: ~")
entry("cacert-region", A, "cacert: '/etc/{region_name}.pem'\nregion_name: r1")
entry("cacert-brace", A, "cacert: '/etc/{x.pem'")
entry("cacert-odd", A, "cacert: '/etc/a b/ü.pem'")
entry("verify-null-and-cacert", A, "verify: ~\ncacert: /x.pem", refuses="`verify` has no value")
entry("cert-and-key", A, "cert: /c.pem\nkey: /k.pem")
entry("cert-and-key-home", A, "cert: ~/c.pem\nkey: ~/k.pem")
entry("cert-alone", A, "cert: /both.pem")
entry("key-alone", A, "key: /k.pem")
entry("cacert-in-auth", A + ", cacert: /x", refuses="no part of a login")

# Profiles.
PROFILE = "auth: {username: u, password: p, project_id: p1, user_domain_name: Du}\n"
VENDORS = ["auro", "betacloud", "binero", "bluebox", "catalyst", "citycloud", "conoha", "dreamcompute", "elastx", "entercloudsuite", "fuga", "ibmcloud",
           "internap", "limestonenetworks", "otc", "otc-swiss", "ovh", "ovh-us", "rackspace", "switchcloud", "switchengines", "ultimum", "unitedstack",
           "vexxhost", "zetta"]
WHY = {"catalyst": "Identity v2.0", "rackspace": "Identity v2.0", "otc-swiss": "is no URL", "ovh": "fetches this profile", "vexxhost": "fetches this profile"}
for vendor in VENDORS:
    more = {"refuses": WHY[vendor]} if vendor in WHY else {}
    clouds(f"vendor-{vendor}", f"clouds:\n  dev:\n    profile: {vendor}\n    {PROFILE}", **more)
for vendor, region in {"citycloud": "Sto2", "otc": "eu-nl", "limestonenetworks": "us-slc", "elastx": "se-sto"}.items():
    clouds(f"vendor-{vendor}-region", f"clouds:\n  dev:\n    profile: {vendor}\n    region_name: {region}\n    {PROFILE}")
    clouds(f"vendor-{vendor}-chosen", f"clouds:\n  dev:\n    profile: {vendor}\n    {PROFILE}", env={"OS_REGION_NAME": region})
clouds("vendor-region-unknown", f"clouds:\n  dev:\n    profile: otc\n    {PROFILE}", env={"OS_REGION_NAME": "x"})
clouds("vendor-own-region", f"clouds:\n  dev:\n    profile: otc\n    region_name: eu-x\n    {PROFILE}")
clouds("vendor-override", "clouds:\n  dev:\n    profile: elastx\n    auth: {auth_url: 'https://o.example', username: u, password: p, project_id: p1, user_domain_id: d}\n")
clouds("vendor-override-hyphen", "clouds:\n  dev:\n    profile: elastx\n    auth: {auth-url: 'https://o.example', username: u, password: p, project_id: p1, user_domain_id: d}\n")
clouds("vendor-domain-override", "clouds:\n  dev:\n    profile: auro\n    auth: {username: u, password: p, project_name: t, user_domain_name: Mine}\n")
clouds("vendor-domains", "clouds:\n  dev:\n    profile: auro\n    auth: {username: u, password: p, project_name: t}\n")
clouds("vendor-old-word", f"clouds:\n  dev:\n    cloud: elastx\n    {PROFILE}")
clouds("vendor-both-words", f"clouds:\n  dev:\n    cloud: elastx\n    profile: zetta\n    {PROFILE}")
clouds("vendor-unknown", f"clouds:\n  dev:\n    profile: nobody\n    auth: {{{A}}}\n", refuses="in no clouds-public.yaml")
clouds("vendor-url", f"clouds:\n  dev:\n    profile: https://v.example\n    {PROFILE}", refuses="fetches this profile from https://v.example/")
clouds("vendor-url-path", f"clouds:\n  dev:\n    profile: https://v.example/x/y\n    {PROFILE}", refuses="fetches this profile from https://v.example/")
PUBLIC = """public-clouds:
  mine:
    auth: {auth_url: 'https://mine.example/v3', username: nobody, user_domain_name: Dv}
    region_name: rv
    interface: internal
    verify: false
  several:
    auth: {auth_url: 'https://{region_name}.example/v3'}
    regions: [a, {name: b, values: {interface: admin}}]
  elastx: {auth: {auth_url: 'https://other.example'}}
"""
PLAIN = "auth: {username: u, password: p, project_id: p1}\n"
for name in ("mine", "several", "elastx"):
    clouds(f"public-{name}", f"clouds:\n  dev:\n    profile: {name}\n    {PLAIN}", more={"clouds-public.yaml": PUBLIC})
clouds("public-override", f"clouds:\n  dev:\n    profile: mine\n    interface: admin\n    region_name: r1\n    verify: true\n    {PLAIN}", more={"clouds-public.yaml": PUBLIC})
clouds("public-chosen", f"clouds:\n  dev:\n    profile: several\n    {PLAIN}", more={"clouds-public.yaml": PUBLIC}, env={"OS_REGION_NAME": "b"})
clouds("public-null-override", f"clouds:\n  dev:\n    profile: mine\n    verify: ~\n    interface: ~\n    {PLAIN}", more={"clouds-public.yaml": PUBLIC})
clouds("public-builtin", f"clouds:\n  dev:\n    profile: zetta\n    {PLAIN}", more={"clouds-public.yaml": PUBLIC})
clouds("public-merge", f"clouds:\n  dev:\n    profile: m\n    {PLAIN}", more={"clouds-public.yaml": "x: &x {auth: {auth_url: 'https://m.example'}}\npublic-clouds:\n  m:\n    <<: *x\n    region_name: rm\n"})
clouds("public-and-secure", "clouds:\n  dev:\n    profile: mine\n    auth: {username: u, project_id: p1}\n",
       more={"clouds-public.yaml": PUBLIC, "secure.yaml": "clouds:\n  dev:\n    auth: {password: s}\n"})
case("public-in-etc", {"config/clouds.yaml": f"clouds:\n  dev:\n    profile: mine\n    {PLAIN}", "etc/clouds-public.yaml": PUBLIC})
case("public-of-etc-below", {"etc/clouds.yaml": f"clouds:\n  dev:\n    profile: mine\n    {PLAIN}", "config/clouds-public.yaml": PUBLIC})
case("public-here", {"here/clouds.yaml": f"clouds:\n  dev:\n    profile: mine\n    {PLAIN}", "here/clouds-public.yaml": PUBLIC})
case("public-here-config", {"config/clouds.yaml": f"clouds:\n  dev:\n    profile: mine\n    {PLAIN}", "here/clouds-public.yaml": PUBLIC},
     refuses="in no clouds-public.yaml beside")

# Secrets.
NO_PW = "clouds:\n  dev:\n    auth: {%s}\n    region_name: r1\n" % A.replace(" password: p,", "")


def secure(ident, text, first=NO_PW, **ours):
    clouds(f"secure-{ident}", first, more={"secure.yaml": text}, **ours)


secure("password", "clouds:\n  dev:\n    auth: {password: s}\n")
secure("digits", "clouds:\n  dev:\n    auth: {password: 12345}\n")
secure("beside", "clouds:\n  dev:\n    password: s\n")
secure("wins", "clouds:\n  dev:\n    auth: {password: s, project_name: other}\n    region_name: r2\n")
secure("more", "clouds:\n  dev:\n    auth: {password: s}\n    verify: false\n    cacert: /x.pem\n")
secure("other", "clouds:\n  other:\n    auth: {password: s}\n")
secure("no-clouds", "x: y\n")
secure("empty", "")
secure("broken", "clouds: [")
secure("anchors", "x: &x {password: s}\nclouds:\n  dev:\n    auth:\n      <<: *x\n")
secure("only", "clouds:\n  dev:\n    auth: {%s}\n" % A, first="clouds:\n  other: {}\n")
secure("null-auth", "clouds:\n  dev:\n    auth: {password: s}\n", first="clouds:\n  dev:\n    auth:\n")
secure("app", "clouds:\n  dev:\n    auth: {application_credential_secret: s}\n",
       first="clouds:\n  dev:\n    auth_type: v3applicationcredential\n    auth: {auth_url: 'https://k.example', application_credential_id: c}\n")
secure("regions", "clouds:\n  dev:\n    auth: {password: s}\n    regions: [x, y]\n")
case("secure-json", {"config/clouds.yaml": NO_PW, "config/secure.json": '{"clouds": {"dev": {"auth": {"password": "j"}}}}'})
case("secure-yml", {"config/clouds.yml": NO_PW, "config/secure.yml": "clouds:\n  dev:\n    auth: {password: s}\n"})
case("secure-elsewhere", {"config/clouds.yaml": NO_PW, "etc/secure.yaml": "clouds:\n  dev:\n    auth: {password: s}\n"}, refuses="`password` (OS_PASSWORD) is missing")
case("secure-here", {"here/clouds.yaml": NO_PW, "here/secure.yaml": "clouds:\n  dev:\n    auth: {password: s}\n"})
case("secure-named", {"config/clouds.yaml": NO_PW, "x/y.yaml": "clouds:\n  dev:\n    auth: {password: n}\n"}, {"OS_CLIENT_SECURE_FILE": "@/x/y.yaml"})
case("file-named", {"x/c.yaml": "clouds:\n  dev:\n    auth: {%s}\n" % A}, {"OS_CLIENT_CONFIG_FILE": "@/x/c.yaml"})
case("file-named-counts", {"x/c.yaml": "clouds:\n  dev:\n    auth: {%s}\n    region_name: x\n" % A, "config/clouds.yaml": NO_PW}, {"OS_CLIENT_CONFIG_FILE": "@/x/c.yaml"})
case("file-named-gone", {"config/clouds.yaml": "clouds:\n  dev:\n    auth: {%s}\n" % A}, {"OS_CLIENT_CONFIG_FILE": "@/x/c.yaml"}, refuses="cannot read")
case("file-named-secure", {"x/c.yaml": NO_PW, "x/s.yaml": "clouds:\n  dev:\n    auth: {password: n}\n"},
     {"OS_CLIENT_CONFIG_FILE": "@/x/c.yaml", "OS_CLIENT_SECURE_FILE": "@/x/s.yaml"})
case("here-before-config", {"here/clouds.yaml": "clouds:\n  dev:\n    auth: {%s}\n    region_name: here\n" % A, "config/clouds.yaml": "clouds:\n  dev:\n    auth: {%s}\n" % A})
case("config-before-etc", {"config/clouds.yaml": "clouds:\n  dev:\n    auth: {%s}\n    region_name: config\n" % A, "etc/clouds.yaml": NO_PW})
case("etc", {"etc/clouds.yaml": "clouds:\n  dev:\n    auth: {%s}\n    region_name: etc\n" % A})
case("first-file-only", {"config/clouds.yaml": "clouds:\n  other: {}\n", "etc/clouds.yaml": "clouds:\n  dev:\n    auth: {%s}\n" % A})
case("broken-file-first", {"config/clouds.yaml": "clouds: [", "etc/clouds.yaml": "clouds:\n  dev:\n    auth: {%s}\n" % A}, refuses="is not YAML")

# Variables beside an entry change nothing of it.
whole = "clouds:\n  dev:\n    auth: {%s}\n    region_name: r1\n" % A
for ident, variables in {
    "others": {"OS_USERNAME": "x", "OS_PROJECT_NAME": "x", "OS_AUTH_URL": "https://x.example", "OS_USER_DOMAIN_NAME": "x"},
    "password": {"OS_PASSWORD": "x"}, "interface": {"OS_INTERFACE": "admin"}, "insecure": {"OS_INSECURE": "true"}, "cacert": {"OS_CACERT": "/x"},
    "type": {"OS_AUTH_TYPE": "token", "OS_TOKEN": "x"}, "override": {"OS_IMAGE_ENDPOINT_OVERRIDE": "http://x.example"}, "project-id": {"OS_PROJECT_ID": "x"},
    "profile": {"OS_PROFILE": "elastx"}, "cloud-name": {"OS_CLOUD_NAME": "renamed"}, "scope": {"OS_SYSTEM_SCOPE": "all"},
}.items():
    clouds(f"beside-{ident}", whole, env=variables)

# The environment alone.
env("env")
env("env-no-domains", without=("OS_USER_DOMAIN_NAME", "OS_PROJECT_DOMAIN_NAME"))
for ident, more in {
    "region": {"OS_REGION_NAME": "r1"}, "region-comma": {"OS_REGION_NAME": "r1,r2"}, "region-empty": {"OS_REGION_NAME": ""},
    "interface": {"OS_INTERFACE": "internal"}, "interface-empty": {"OS_INTERFACE": ""}, "endpoint-type": {"OS_ENDPOINT_TYPE": "adminURL"},
    "tenant": {"OS_TENANT_NAME": "old"}, "project-id": {"OS_PROJECT_ID": "p1"}, "project-id-empty": {"OS_PROJECT_ID": ""},
    "user-id": {"OS_USER_ID": "u1"}, "domain-ids": {"OS_USER_DOMAIN_ID": "du", "OS_PROJECT_DOMAIN_ID": "dp"},
    "default-domain": {"OS_DEFAULT_DOMAIN_ID": "dd"}, "domain-name": {"OS_DOMAIN_NAME": "D"},
    "cacert": {"OS_CACERT": "/etc/ca.pem"}, "cacert-home": {"OS_CACERT": "~/ca.pem"}, "cacert-empty": {"OS_CACERT": ""},
    "cert": {"OS_CERT": "/c.pem", "OS_KEY": "/k.pem"}, "insecure": {"OS_INSECURE": "true"}, "insecure-upper": {"OS_INSECURE": "True"},
    "insecure-1": {"OS_INSECURE": "1"}, "insecure-yes": {"OS_INSECURE": "yes"}, "insecure-false": {"OS_INSECURE": "false"}, "insecure-empty": {"OS_INSECURE": ""},
    "override": {"OS_COMPUTE_ENDPOINT_OVERRIDE": "https://n.example/v2.1"}, "override-volume": {"OS_VOLUME_ENDPOINT_OVERRIDE": "https://v.example/v3"},
    "override-endpoint": {"OS_IMAGE_ENDPOINT": "https://g.example"}, "v3password": {"OS_AUTH_TYPE": "v3password"}, "password-type": {"OS_AUTH_TYPE": "password"},
    "password-odd": {"OS_PASSWORD": "a b{c}'\"$é#"}, "password-float": {"OS_PASSWORD": "1.10"}, "password-tilde": {"OS_PASSWORD": "~"},
    "identity-version": {"OS_IDENTITY_API_VERSION": "3"}, "test-variables": {"OS_TEST_TIMEOUT": "3", "OS_STDOUT_CAPTURE": "1", "OS_LOG_CAPTURE": "1"},
    "unknown": {"OS_FROBNICATE": "x"}, "url-slash": {"OS_AUTH_URL": "https://k.example/identity/"}, "url-brace": {"OS_AUTH_URL": "https://k.example/v3"},
    "two-words-one-empty": {"OS_INTERFACE": "internal", "OS_ENDPOINT_TYPE": ""}, "profile-empty": {"OS_PROFILE": ""},
    "domain-id-empty": {"OS_DOMAIN_ID": "", "OS_USER_DOMAIN_ID": ""}, "tenant-empty": {"OS_TENANT_NAME": ""},
    "image-region": {"OS_IMAGE_REGION_NAME": "shared"}, "volume-interface": {"OS_VOLUME_INTERFACE": "admin"},
}.items():
    env(f"env-{ident}", more)
env("env-profile", {"OS_PROFILE": "elastx"}, without=("OS_AUTH_URL",))
env("env-profile-region", {"OS_PROFILE": "citycloud", "OS_REGION_NAME": "Kna1"}, without=("OS_AUTH_URL",))
env("env-verify-false", {"OS_VERIFY": "false"}, refuses="OS_INSECURE=true is for the environment")
env("env-verify-path", {"OS_VERIFY": "/etc/ca.pem"})
env("env-verify-empty", {"OS_VERIFY": ""}, refuses="OS_INSECURE=true")
env("env-auth-type-empty", {"OS_AUTH_TYPE": ""}, refuses="is not supported")
env("env-v2", {"OS_AUTH_URL": "https://k.example/v2.0"}, refuses="Identity v2.0")
env("env-scope", {"OS_SYSTEM_SCOPE": "all"}, refuses="images belong to projects")
env("env-token", {"OS_AUTH_TYPE": "token", "OS_TOKEN": "gAAA"}, without=("OS_USERNAME", "OS_PASSWORD"))
env("env-auth-token", {"OS_AUTH_TYPE": "token", "OS_AUTH_TOKEN": "gAAA"}, without=("OS_USERNAME", "OS_PASSWORD"))
env("env-app", {"OS_AUTH_TYPE": "v3applicationcredential", "OS_APPLICATION_CREDENTIAL_ID": "c1", "OS_APPLICATION_CREDENTIAL_SECRET": "s"},
    without=("OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"))
env("env-app-name", {"OS_AUTH_TYPE": "v3applicationcredential", "OS_APPLICATION_CREDENTIAL_NAME": "c", "OS_APPLICATION_CREDENTIAL_SECRET": "s"}, without=("OS_PASSWORD",))
env("env-no-password", without=("OS_PASSWORD",))
env("env-no-project", without=("OS_PROJECT_NAME",), refuses="`project_name`")
env("env-oidc", {"OS_AUTH_TYPE": "v3oidcpassword"}, refuses="is not supported")
other = {"config/clouds.yaml": "clouds:\n  dev:\n    auth: {%s}\n" % A}
case("envvars", other, ENV | {"OS_CLOUD": "envvars", "OS_REGION_NAME": "r1"}, cloud="envvars")
case("envvars-alone", {}, ENV | {"OS_CLOUD": "envvars"}, cloud="envvars")
case("envvars-renamed", other, ENV | {"OS_CLOUD": "mine", "OS_CLOUD_NAME": "mine"}, cloud="mine")
case("envvars-renamed-away", other, ENV | {"OS_CLOUD_NAME": "mine"}, cloud="envvars")
case("envvars-entry", {"config/clouds.yaml": "clouds:\n  envvars:\n    auth: {%s}\n" % A}, ENV, cloud="envvars")
case("envvars-renamed-entry", {"config/clouds.yaml": "clouds:\n  envvars:\n    auth: {%s}\n" % A}, ENV | {"OS_CLOUD_NAME": "mine"}, cloud="envvars")
case("entry-called-local", {"config/clouds.yaml": "clouds:\n  local:\n    auth: {%s}\n" % A}, cloud="local")


# What nobody thought of: settings put together by chance, the same ones each time.
CHANCE = random.Random(11)


def some(options):
    return CHANCE.choice(options)


def chance_auth():
    """Keys of a login, some of them old words, with their values."""
    url = some(["https://k.example:5000", "https://k.example/identity/v3", "http://10.1.2.3/", "https://{region_name}.k.example/v3"])
    keys = [("auth_url", url)]
    kind = some(["password", "password", "password", "v3password", "token", "v3applicationcredential"])
    if kind.endswith("password"):
        keys += some([[("username", "u")], [("user_name", "u")], [("user_id", "uid")]]) + [("password", some(["s3cret", "12345", "a: b", "pé#s", "{x}", "y-z_0"]))]
    elif kind == "token":
        keys += [(some(["token", "auth_token"]), "gAAAA")]
    else:
        keys += some([[("application_credential_id", "c1")], [("application_credential_name", "c"), ("username", "u")]])
        keys += [("application_credential_secret", "sesame")]
    if kind != "v3applicationcredential":
        keys += some([[("project_name", "t")], [("project_id", "p1")], [("tenant_name", "t")], [("tenant_id", "t1")], [("project_name", "t"), ("tenant_name", "old")]])
    keys += some([
        [("user_domain_name", "Du"), ("project_domain_name", "Dp")], [("user_domain_id", "du"), ("project_domain_id", "dp")],
        [("user_domain_name", "Du"), ("project_domain_id", "dp")],
    ] + ([[("domain_name", "D")], [("domain_id", "d"), ("user_domain_name", "Du")], [("default_domain_id", "dd")]] if kind in ("password", "token") else []))
    if kind == "token" or ("application_credential_id", "c1") in keys:
        keys = [(key, value) for key, value in keys if not key.startswith("user_")]
    return kind, keys


def quoted(value):
    return "'" + value.replace("'", "''") + "'"


def chance(number):
    kind, keys = chance_auth()
    inside, beside, hidden = [], [], []
    for key, value in keys:
        where = some([inside] * 6 + [beside])
        if key in ("password", "token", "auth_token", "application_credential_secret"):
            where = some([inside, hidden])
        # In `auth_url`, names in braces are filled in there only.
        where = inside if key == "auth_url" else where
        hyphens = key.replace("_", "-") if some([0, 0, 0, 0, 1]) and key not in ("auth_url", "auth_token") else key
        where.append(f"{hyphens}: {quoted(value)}")
    if kind != "password":
        beside.append(f"auth_type: {kind}")
    beside += some([[], ["region_name: r1"], ["regions: [r1, r2]"], ["regions: [{name: r1, values: {interface: admin}}, {name: r2, values: {verify: no}}]"], ["region-name: r-3"], ["region_name: 'r4,r5'"]])
    beside += some([[], [], ["interface: internal"], ["endpoint_type: internalURL"], ["interface: [internal, public]"], ["interface: admin", "image_interface: public"]])
    beside += some([[], [], ["verify: false"], ["verify: yes"], ["insecure: true"], ["insecure: 'no'"]])
    beside += some([[], [], ["cacert: ~/ca.pem"], ["cacert: '/etc/{region_name}.pem'"], ["cert: /c.pem", "key: /k.pem"], ["cert: ~/both.pem"]])
    for word in ("compute", "image", "network", "volume", "block_storage", "orchestration"):
        beside += some([[]] * 6 + [[f"{word}_endpoint_override: https://{word}.example/v1"], [f"{word}_region_name: elsewhere"], [f"{word}_endpoint: 'http://{{region_name}}.example'"]])
    CHANCE.shuffle(beside)
    CHANCE.shuffle(inside)
    profile = some([None, None, None, "mine", "several", "elastx", "zetta"])
    beside += [f"profile: {profile}"] if profile else []
    if profile and some([0, 1]):
        inside = [line for line in inside if not line.startswith("auth_url")]
    layout = some(["plain", "plain", "entry", "auth", "flow"])
    if layout == "entry":
        half = len(beside) // 2
        text = "x-base: &base\n" + "".join(f"  {line}\n" for line in beside[:half] + ["auth: {" + ", ".join(inside) + "}"])
        text += "clouds:\n  dev:\n    <<: *base\n" + "".join(f"    {line}\n" for line in beside[half:])
    elif layout == "auth":
        half = len(inside) // 2
        text = "x-auth: &auth {" + ", ".join(inside[:half]) + "}\nclouds:\n  dev:\n    auth:\n      <<: *auth\n"
        text += "".join(f"      {line}\n" for line in inside[half:]) + "".join(f"    {line}\n" for line in beside)
    elif layout == "flow":
        text = "clouds: {dev: {" + ", ".join(beside + ["auth: {" + ", ".join(inside) + "}"]) + "}}\n"
    else:
        text = "clouds:\n  dev:\n    auth:\n" + "".join(f"      {line}\n" for line in inside) + "".join(f"    {line}\n" for line in beside)
    more = {"secure.yaml": "clouds:\n  dev:\n    auth: {" + ", ".join(hidden) + "}\n"} if hidden else {}
    more |= {"clouds-public.yaml": PUBLIC} if profile else {}
    clouds(f"chance-{number}", text, more=more, env=some([{}] * 6 + [{"OS_REGION_NAME": "r2"}, {"OS_USERNAME": "another"}]))


for number in range(540):
    chance(number)
