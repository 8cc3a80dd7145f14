//! `union` and similar. Reproduces the order of Python's sets for integers.
use std::collections::{HashMap, HashSet};

use super::sequence::distinct;
use crate::jinja::args::Args;
use crate::jinja::error::Result;
use crate::jinja::run::Run;
use crate::jinja::value::{Key, Value};
use crate::jinja::{iterate, operators};

pub fn apply(run: &Run, name: &str, value: &Value, args: &Args) -> Result<Value> {
    let b = args.bind("this filter", &["b"])?;
    let (a, b) = (iterate::items(value)?, iterate::items(b.wanted("b")?)?);
    run.step((a.len() + b.len()) as u64)?;
    let keys = |items: &[Value]| items.iter().map(Key::of).collect::<Option<HashSet<_>>>();
    let (Some(ka), Some(kb)) = (keys(&a), keys(&b)) else { return by_comparing(name, a, b) };
    let within = |keys: &HashSet<Key>, v: &Value| Key::of(v).is_some_and(|k| keys.contains(&k));
    let kept: Vec<Value> = match name {
        "union" => a.iter().chain(&b).cloned().collect(),
        "intersect" => a.iter().filter(|v| within(&kb, v)).cloned().collect(),
        "difference" => a.iter().filter(|v| !within(&kb, v)).cloned().collect(),
        _ => a
            .iter()
            .filter(|v| !within(&kb, v))
            .chain(b.iter().filter(|v| !within(&ka, v)))
            .cloned()
            .collect(),
    };
    let mut seen = HashSet::new();
    let kept: Vec<Value> =
        kept.into_iter().filter(|v| Key::of(v).is_some_and(|k| seen.insert(k))).collect();
    Ok(Value::list(in_order(name, kept, &a, &b)))
}

fn by_comparing(name: &str, a: Vec<Value>, b: Vec<Value>) -> Result<Value> {
    let inside = |items: &[Value], v: &Value| operators::contains(&Value::list(items.to_vec()), v);
    let filtered = |items: &[Value], of: &[Value], wanted: bool| -> Result<Vec<Value>> {
        let mut out = Vec::new();
        for item in items {
            if inside(of, item)? == wanted {
                out.push(item.clone());
            }
        }
        Ok(out)
    };
    match name {
        "union" => distinct(a.into_iter().chain(b).collect()),
        "intersect" => distinct(filtered(&a, &b, true)?),
        "difference" => distinct(filtered(&a, &b, false)?),
        _ => {
            let both = filtered(&a, &b, true)?;
            let all = iterate::items(&distinct(a.into_iter().chain(b).collect())?)?;
            Ok(Value::list(filtered(&all, &both, false)?))
        }
    }
}

/// Keeps the input order for texts, whose order in Ansible differs from run to run.
fn in_order(name: &str, kept: Vec<Value>, a: &[Value], b: &[Value]) -> Vec<Value> {
    let numbers = |items: &[Value]| items.iter().map(Number::of).collect::<Option<Vec<_>>>();
    let (Some(a), Some(b), true) = (numbers(a), numbers(b), kept.len() > 1) else { return kept };
    let mut table = Table::of(&a);
    match name {
        "union" => {
            table = table.copied();
            let other = Table::of(&b);
            if (table.fill + other.used) * 5 >= table.mask() * 3 {
                table.resize((table.used + other.used) * 2);
            }
            other.iter().for_each(|n| table.add(n));
        }
        "intersect" => {
            let mut other = Table::of(&b);
            if other.used > table.used {
                std::mem::swap(&mut table, &mut other);
            }
            let mut out = Table::new();
            other.iter().filter(|n| table.has(n)).for_each(|n| out.add(n));
            table = out;
        }
        "difference" => {
            let other = Table::of(&b);
            let mut out = Table::new();
            table.iter().filter(|n| !other.has(n)).for_each(|n| out.add(n));
            table = out;
        }
        _ => {
            // `b` copied, each of `a` taken out or put in.
            let mut out = Table::of(&b).copied();
            let first = Table::of(&a);
            first.iter().for_each(|n| {
                if !out.discard(n) {
                    out.add(n)
                }
            });
            table = out;
        }
    }
    let place: HashMap<Key, &Value> = kept.iter().filter_map(|v| Some((Key::of(v)?, v))).collect();
    table.iter().filter_map(|n| place.get(&n.key).map(|v| (*v).clone())).collect()
}

/// A number with its CPython hash.
#[derive(Clone, PartialEq)]
struct Number {
    key: Key,
    hash: u64,
}

/// Modulus of CPython's numeric hashes.
const PRIME: u128 = (1 << 61) - 1;

impl Number {
    fn of(value: &Value) -> Option<Self> {
        let key = Key::of(value)?;
        let (rest, negative) = match key {
            Key::Int(n) => (n.unsigned_abs() % PRIME, n < 0),
            Key::Float(bits) => (left_of(f64::from_bits(bits))?, f64::from_bits(bits) < 0.0),
            _ => return None,
        };
        let hash = if negative { -(rest as i64) } else { rest as i64 };
        Some(Self { key, hash: if hash == -1 { -2_i64 } else { hash } as u64 })
    }
}

/// Hash of a fraction, using that powers of two repeat after 61.
fn left_of(f: f64) -> Option<u128> {
    if !f.is_finite() {
        return None;
    }
    let bits = f.to_bits();
    let (raw, part) = ((bits >> 52 & 0x7ff) as i64, u128::from(bits & ((1 << 52) - 1)));
    let (digits, power) = if raw == 0 { (part, -1074) } else { (part | 1 << 52, raw - 1075) };
    Some((digits % PRIME) * (1_u128 << power.rem_euclid(61)) % PRIME)
}

/// CPython's integer set: a hash table with open addressing.
struct Table {
    slots: Vec<Option<Option<Number>>>,
    used: usize,
    fill: usize,
}

const NEAR: usize = 9;

impl Table {
    fn new() -> Self {
        Self { slots: vec![None; 8], used: 0, fill: 0 }
    }

    fn of(items: &[Number]) -> Self {
        let mut table = Self::new();
        items.iter().for_each(|n| table.add(n));
        table
    }

    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    fn iter(&self) -> impl Iterator<Item = &Number> + '_ {
        self.slots.iter().flatten().flatten()
    }

    /// Slot of `n`, or for inserting it: prefers a deleted slot.
    fn slot(&self, n: &Number) -> usize {
        let (hash, mask, mut left) = (n.hash, self.mask(), None);
        let (mut perturb, mut at) = (hash, hash as usize & mask);
        loop {
            let last = if at + NEAR <= mask { at + NEAR } else { at };
            for slot in at..=last {
                match &self.slots[slot] {
                    None => return left.unwrap_or(slot),
                    Some(Some(other)) if other == n => return slot,
                    Some(None) => left = left.or(Some(slot)),
                    Some(Some(_)) => {}
                }
            }
            perturb >>= 5;
            at = (at.wrapping_mul(5).wrapping_add(1).wrapping_add(perturb as usize)) & mask;
        }
    }

    fn has(&self, n: &Number) -> bool {
        matches!(self.slots[self.slot(n)], Some(Some(_)))
    }

    fn add(&mut self, n: &Number) {
        let at = self.slot(n);
        match self.slots[at] {
            Some(Some(_)) => return,
            Some(None) => {}
            None => self.fill += 1,
        }
        self.slots[at] = Some(Some(n.clone()));
        self.used += 1;
        if self.fill * 5 >= self.mask() * 3 {
            self.resize(if self.used > 50_000 { self.used * 2 } else { self.used * 4 });
        }
    }

    fn discard(&mut self, n: &Number) -> bool {
        let at = self.slot(n);
        let there = matches!(self.slots[at], Some(Some(_)));
        if there {
            self.slots[at] = Some(None);
            self.used -= 1;
        }
        there
    }

    fn resize(&mut self, least: usize) {
        let mut size = 8;
        while size <= least {
            size *= 2;
        }
        let all: Vec<Number> = self.iter().cloned().collect();
        (self.slots, self.used, self.fill) = (vec![None; size], all.len(), all.len());
        for n in &all {
            let at = self.slot(n);
            self.slots[at] = Some(Some(n.clone()));
        }
    }

    /// `set.copy`: a table sized for its contents.
    fn copied(&self) -> Self {
        let mut out = Self::new();
        if self.used * 5 >= out.mask() * 3 {
            out.resize(self.used * 2);
        }
        if out.mask() == self.mask() && self.fill == self.used {
            out.slots = self.slots.clone();
            (out.used, out.fill) = (self.used, self.fill);
        } else {
            self.iter().for_each(|n| out.add(n));
        }
        out
    }
}
