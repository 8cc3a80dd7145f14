//! Writes YAML as PyYAML does with libyaml, like Ansible.
use std::rc::Rc;

use super::yaml_types::{self, Plain};
use crate::jinja::args::Args;
use crate::jinja::error::{Error, Result};
use crate::jinja::value::{Dict, Value};
use crate::jinja::{show, sorting};

mod analysis;
mod scalars;
mod writer;

use writer::Writer;

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// A value, represented for the emitter.
enum Node {
    /// A scalar: its text, and whether the plain and the quoted form read back as the same value.
    Scalar {
        text: String,
        plain: bool,
        /// Not a text: if quoted, it needs a tag.
        other: bool,
        style: Style,
    },
    List(Vec<Node>, bool),
    Dict(Vec<(Node, Node)>, bool),
}

struct Options {
    flow: Option<bool>,
    sort: bool,
    style: Style,
    seen: Vec<*const ()>,
}

pub fn apply(name: &str, value: &Value, args: &Args) -> Result<Value> {
    let nice = name == "to_nice_yaml";
    let names: &[&str] = &[
        "indent",
        "default_flow_style",
        "sort_keys",
        "width",
        "default_style",
        "explicit_start",
        "explicit_end",
        "allow_unicode",
        "line_break",
        "canonical",
        "encoding",
        "version",
        "tags",
    ];
    let b = args.bind("this filter", names)?;
    for unusual in
        ["allow_unicode", "line_break", "canonical", "encoding", "version", "tags", "explicit_end"]
    {
        if b.get(unusual).is_some() {
            return Err(Error::refused(format!("`{unusual}` of `{name}` is not supported")));
        }
    }
    if !nice && !args.positional.is_empty() {
        return Err(Error::refused("`to_yaml` with arguments that have no name is not supported"));
    }
    let style = match b.text("default_style")?.as_deref() {
        None => Style::Plain,
        Some("'") => Style::Single,
        Some("\"") => Style::Double,
        Some("|") => Style::Literal,
        Some(_) => return Err(Error::refused("this `default_style` is not supported")),
    };
    let flow = match b.get("default_flow_style") {
        Some(Value::None) => None,
        Some(given) => Some(given.truth()?),
        None => nice.then_some(false),
    };
    let mut options =
        Options { flow, sort: b.truth_or("sort_keys", true)?, style, seen: Vec::new() };
    let node = represented(value, &mut options)?;
    let indent = b.int_or("indent", if nice { 4 } else { 2 })?;
    let width = b.int_or("width", 80)?;
    let mut writer =
        Writer::new(if (2..=9).contains(&indent) { indent as usize } else { 2 }, width);
    if b.truth("explicit_start")? {
        writer.out.push_str("---");
        (writer.column, writer.blank, writer.indented) = (3, false, false);
    }
    writer.document(&node);
    Ok(Value::from(writer.out))
}

fn represented(value: &Value, options: &mut Options) -> Result<Node> {
    let scalar = |text: String, style| Node::Scalar { text, plain: true, other: true, style };
    Ok(match value {
        Value::Missing(why) => return Err(why.clone()),
        Value::None => scalar("null".into(), options.style),
        Value::Bool(b) => scalar(b.to_string(), options.style),
        Value::Int(n) => scalar(n.to_string(), options.style),
        Value::Float(f) => scalar(float(*f), options.style),
        Value::Str(s) => {
            if options.style == Style::Literal && (&**s == "\n" || s.ends_with("\n\n")) {
                return Err(Error::refused(
                    "`default_style='|'` for a text that ends in empty lines is not supported",
                ));
            }
            let plain = yaml_types::plain(s) == Plain::Text;
            Node::Scalar { text: s.to_string(), plain, other: false, style: options.style }
        }
        Value::List(l) => {
            once(Rc::as_ptr(l).cast(), l.borrow().is_empty(), options)?;
            list(&l.borrow(), options)?
        }
        Value::Tuple(t) if !value.is_group() => list(t, options)?,
        Value::Dict(d) => {
            once(Rc::as_ptr(d).cast(), false, options)?;
            mapping(&d.borrow(), options)?
        }
        other => {
            return Err(Error::raised(format!(
                "cannot represent an object of type {}",
                other.kind()
            )));
        }
    })
}

/// PyYAML writes an anchor for a value that occurs again.
fn once(place: *const (), empty: bool, options: &mut Options) -> Result<()> {
    if !empty && options.seen.contains(&place) {
        return Err(Error::refused(
            "the same list or mapping twice in what becomes YAML would get an anchor; write a copy \
                of it",
        ));
    }
    options.seen.push(place);
    Ok(())
}

fn float(f: f64) -> String {
    if f.is_nan() {
        return ".nan".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { ".inf".into() } else { "-.inf".into() };
    }
    let text = show::float(f);
    if !text.contains('.') && text.contains('e') { text.replacen('e', ".0e", 1) } else { text }
}

fn leaf(node: &Node) -> bool {
    matches!(node, Node::Scalar { style: Style::Plain, .. })
}

fn list(items: &[Value], options: &mut Options) -> Result<Node> {
    let nodes = items.iter().map(|item| represented(item, options)).collect::<Result<Vec<_>>>()?;
    let flow = options.flow.unwrap_or_else(|| nodes.iter().all(leaf));
    Ok(Node::List(nodes, flow))
}

fn mapping(dict: &Dict, options: &mut Options) -> Result<Node> {
    let mut keys: Vec<Value> = dict.keys().cloned().collect();
    if options.sort
        && let Ok(sorted) = sorting::sorted(keys.clone(), false, |key| Ok(key.clone()))
    {
        keys = sorted;
    }
    let mut nodes = Vec::new();
    for key in keys {
        let value = dict.get(&key).expect("its own key");
        nodes.push((represented(&key, options)?, represented(value, options)?));
    }
    let flow = options.flow.unwrap_or_else(|| nodes.iter().all(|(k, v)| leaf(k) && leaf(v)));
    Ok(Node::Dict(nodes, flow))
}
