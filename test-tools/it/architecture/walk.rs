//! What a parsed file declares, and which of its items `cfg(test)` leaves to tests.
use proc_macro2::LineColumn;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
    /// Without `self`.
    pub parameters: usize,
}

/// `mod name;`
pub struct Declared {
    pub name: String,
    /// Of `#[path]`.
    pub path: Option<String>,
    /// Under `cfg(test)` only.
    pub test: bool,
    pub at: LineColumn,
}

#[derive(Default)]
pub struct Walk {
    /// For each node around: whether an attribute of its own leaves it to tests.
    nodes: Vec<bool>,
    pub skipped: Vec<Range<LineColumn>>,
    pub functions: Vec<(LineColumn, Function)>,
    pub inline: Vec<(String, Range<LineColumn>)>,
    pub modules: Vec<Declared>,
}

impl Walk {
    pub fn node(&mut self, node: &impl Spanned, walk: impl FnOnce(&mut Self)) {
        self.nodes.push(false);
        walk(self);
        if self.nodes.pop() == Some(true) {
            let span = node.span(); // slow: it writes all tokens of the node
            self.skipped.push(span.start()..span.end());
        }
    }

    fn function(&mut self, sig: &syn::Signature, block: Option<&syn::Block>) {
        let at = sig.span().start();
        let end = block.map_or(sig.span().end(), |block| block.brace_token.span.close().end());
        let is_self = |p: &&syn::FnArg| !matches!(p, syn::FnArg::Receiver(_));
        let function = Function {
            name: sig.ident.to_string(),
            line: at.line,
            lines: end.line - at.line + 1,
            // A callback of C has the parameters that its caller gives it.
            parameters: if sig.abi.is_some() {
                0
            } else {
                sig.inputs.iter().filter(is_self).count()
            },
        };
        self.functions.push((at, function));
    }
}

/// Each node that can have attributes, so that a `cfg(test)` hides this node and nothing around it.
macro_rules! nodes {
    ($($name:ident: $node:ident,)*) => {
        $(fn $name(&mut self, node: &'ast syn::$node) {
            self.node(node, |walk| visit::$name(walk, node));
        })*
    };
}

impl<'ast> Visit<'ast> for Walk {
    nodes! {
        visit_item: Item,
        visit_impl_item: ImplItem,
        visit_trait_item: TraitItem,
        visit_foreign_item: ForeignItem,
        visit_stmt: Stmt,
        visit_expr: Expr,
        visit_arm: Arm,
        visit_field: Field,
        visit_field_value: FieldValue,
        visit_field_pat: FieldPat,
        visit_variant: Variant,
        visit_fn_arg: FnArg,
        visit_generic_param: GenericParam,
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if leaves_it_to_tests(attribute) {
            *self.nodes.last_mut().expect("a file is a node") = true;
        }
    }

    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.function(&node.sig, Some(&node.block));
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.function(&node.sig, Some(&node.block));
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
        self.function(&node.sig, node.default.as_ref());
        visit::visit_trait_item_fn(self, node);
    }

    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        let name = node.ident.to_string();
        match &node.content {
            Some((braces, _)) => {
                let span = braces.span.join();
                self.inline.push((name, span.start()..span.end()));
            }
            None => self.modules.push(Declared {
                name,
                path: node.attrs.iter().find_map(path_of),
                test: node.attrs.iter().any(leaves_it_to_tests),
                at: node.ident.span().start(),
            }),
        }
        visit::visit_item_mod(self, node);
    }
}

/// `#[path = "x.rs"]`
fn path_of(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) = &pair.value else {
        return None;
    };
    attribute.path().is_ident("path").then(|| path.value())
}

fn leaves_it_to_tests(attribute: &syn::Attribute) -> bool {
    let last = attribute.path().segments.last().expect("a path has a segment");
    let names_a_test = last.ident == "test" && matches!(attribute.meta, syn::Meta::Path(_));
    names_a_test
        || attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Meta>().is_ok_and(|meta| needs_test(&meta))
}

/// `test`, `all(test, ..)`, `any(test, all(test, ..))`; not `not(test)`.
fn needs_test(meta: &syn::Meta) -> bool {
    let syn::Meta::List(list) = meta else { return meta.path().is_ident("test") };
    let parts = list
        .parse_args_with(syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated)
        .map(|parts| parts.into_iter().collect())
        .unwrap_or_else(|_| Vec::new());
    match list.path.get_ident().map(ToString::to_string).as_deref() {
        Some("all") => parts.iter().any(needs_test),
        Some("any") => !parts.is_empty() && parts.iter().all(needs_test),
        _ => false,
    }
}
