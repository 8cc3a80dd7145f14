//! The filters of Jinja and of ansible-core.
use std::rc::Rc;

use super::args::Args;
use super::error::{Error, Kind, Result};
use super::run::Run;
use super::value::Value;

mod choose;
mod combine;
mod comment;
mod convert;
mod digest;
mod items;
mod json;
mod paths;
mod pprint;
pub mod regex;
mod sequence;
mod sets;
mod sizes;
mod text;
mod urls;
mod wrap;
pub mod yaml_dump;
mod yaml_load;
pub mod yaml_types;

pub use json::from as from_json;
pub use urls::split as split_url;

/// All filter names.
pub const NAMES: &[&str] = &[
    "abs",
    "attr",
    "b64decode",
    "b64encode",
    "basename",
    "batch",
    "bool",
    "capitalize",
    "center",
    "checksum",
    "combinations",
    "combine",
    "comment",
    "commonpath",
    "count",
    "d",
    "default",
    "dict2items",
    "dictsort",
    "difference",
    "dirname",
    "e",
    "escape",
    "expanduser",
    "expandvars",
    "extract",
    "fileglob",
    "filesizeformat",
    "first",
    "flatten",
    "float",
    "forceescape",
    "format",
    "from_json",
    "from_yaml",
    "from_yaml_all",
    "groupby",
    "hash",
    "human_readable",
    "human_to_bytes",
    "indent",
    "int",
    "intersect",
    "items",
    "items2dict",
    "join",
    "last",
    "length",
    "list",
    "log",
    "lower",
    "mandatory",
    "map",
    "max",
    "md5",
    "min",
    "normpath",
    "password_hash",
    "path_join",
    "permutations",
    "pow",
    "pprint",
    "product",
    "quote",
    "random",
    "realpath",
    "regex_escape",
    "regex_findall",
    "regex_replace",
    "regex_search",
    "reject",
    "rejectattr",
    "rekey_on_member",
    "relpath",
    "replace",
    "reverse",
    "root",
    "round",
    "safe",
    "select",
    "selectattr",
    "sha1",
    "shuffle",
    "slice",
    "sort",
    "split",
    "splitext",
    "strftime",
    "string",
    "striptags",
    "subelements",
    "sum",
    "symmetric_difference",
    "ternary",
    "title",
    "to_datetime",
    "to_json",
    "to_nice_json",
    "to_nice_yaml",
    "to_uuid",
    "to_yaml",
    "tojson",
    "trim",
    "truncate",
    "type_debug",
    "union",
    "unique",
    "unvault",
    "upper",
    "urldecode",
    "urlencode",
    "urlize",
    "urlsplit",
    "vault",
    "win_basename",
    "win_dirname",
    "win_splitdrive",
    "wordcount",
    "wordwrap",
    "xmlattr",
    "zip",
    "zip_longest",
];

/// Unsupported filters, with the reason.
const REFUSED: &[(&str, &str)] = &[
    (
        "expanduser",
        "`expanduser` is not supported: homes differ from machine to machine; write the path",
    ),
    (
        "expandvars",
        "`expandvars` is not supported: a bundle renders the same everywhere; put the value under \
            `vars:`",
    ),
    ("fileglob", "`fileglob` is not supported: a template sees no files of the factory"),
    (
        "ipaddr",
        "`ipaddr` is not supported; write the address down in build-vars.yml, under `vars:`",
    ),
    ("json_query", "`json_query` is not supported; use `selectattr` and `map(attribute=…)`"),
    (
        "password_hash",
        "`password_hash` is not supported: its salt would make every build different; put the hash \
            under `vars:`",
    ),
    ("random", "`random` is not supported: the same build would render differently each time"),
    (
        "realpath",
        "`realpath` is not supported: a template sees no files of the factory; `normpath` tidies a \
            path up",
    ),
    ("shuffle", "`shuffle` is not supported: the same build would render differently each time"),
    ("unvault", "`unvault` is not supported; a rendered template is no place for secrets"),
    ("urlize", "`urlize` is not supported; write the HTML"),
    ("vault", "`vault` is not supported; a rendered template is no place for secrets"),
];

/// Strips `ansible.builtin.`.
pub fn short(name: &str) -> &str {
    name.strip_prefix("ansible.builtin.")
        .or_else(|| name.strip_prefix("ansible.legacy."))
        .unwrap_or(name)
}

pub fn known(name: &str) -> bool {
    NAMES.contains(&name) || refused(name).is_some()
}

/// Why this filter is unsupported.
pub fn refused(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(n, _)| *n == name).map(|(_, why)| *why)
}

pub fn unknown(name: &str) -> Rc<Error> {
    Error::new(Kind::UnknownFilter, format!("filter {name} is unknown"))
}

/// Whether it accepts an undefined value.
pub fn takes_missing(name: &str) -> bool {
    matches!(name, "default" | "d" | "mandatory" | "ternary" | "type_debug")
}

/// Applies the filter `name`, which must be known and supported.
pub fn apply(run: &Run, name: &str, value: Value, args: &Args) -> Result<Value> {
    applied(run, name, value, args).map_err(|e| e.called("this filter", name))
}

fn applied(run: &Run, name: &str, value: Value, args: &Args) -> Result<Value> {
    match name {
        "default" | "d" | "mandatory" | "ternary" | "type_debug" | "bool" | "int" | "float"
        | "string" | "abs" | "round" | "log" | "pow" | "root" => convert::apply(name, value, args),
        "map" | "select" | "reject" | "selectattr" | "rejectattr" => {
            choose::apply(run, name, &value, args)
        }
        "attr" | "batch" | "slice" | "first" | "last" | "join" | "list" | "length" | "count"
        | "max" | "min" | "reverse" | "sort" | "sum" | "unique" | "groupby" | "dictsort" => {
            sequence::apply(run, name, &value, args)
        }
        "combinations" | "permutations" | "product" | "zip" | "zip_longest" | "flatten"
        | "subelements" | "dict2items" | "items2dict" | "items" | "rekey_on_member" | "extract" => {
            items::apply(run, name, &value, args)
        }
        "union" | "intersect" | "difference" | "symmetric_difference" => {
            sets::apply(run, name, &value, args)
        }
        "combine" => combine::apply(&value, args),
        "comment" => comment::apply(&value, args),
        "to_json" | "to_nice_json" | "tojson" | "from_json" => json::apply(name, &value, args),
        "to_yaml" | "to_nice_yaml" => yaml_dump::apply(name, &value, args),
        "from_yaml" | "from_yaml_all" => yaml_load::apply(name, &value, args),
        "b64encode" | "b64decode" | "hash" | "checksum" | "md5" | "sha1" | "to_uuid" => {
            digest::apply(name, &value, args)
        }
        "regex_escape" | "regex_findall" | "regex_replace" | "regex_search" => {
            regex::apply(name, &value, args)
        }
        "basename" | "dirname" | "commonpath" | "normpath" | "path_join" | "relpath"
        | "splitext" | "win_basename" | "win_dirname" | "win_splitdrive" => {
            paths::apply(name, &value, args)
        }
        "urlencode" | "urldecode" | "urlsplit" => urls::apply(name, &value, args),
        "human_readable" | "human_to_bytes" | "filesizeformat" => sizes::apply(name, &value, args),
        "wordwrap" => wrap::apply(&value, args),
        "pprint" => pprint::apply(&value, args),
        _ => text::apply(name, &value, args),
    }
}
