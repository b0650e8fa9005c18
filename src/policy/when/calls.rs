//! Functions, methods and loops: which exist, how they are written and what they take.
//!
//! A name that is not in these tables is refused at load, so evaluation meets only known calls.

use super::check::{Checker, Kinds, Part};
use super::parse::{Call, Node, Tree};
use super::run::{self, Loop};
use super::wrong;
use crate::policy::findings::shown;
use crate::policy::suggest;
use crate::policy::units::Misread;

/// What is called, what its subject may be, what it gives, and how it is written.
struct Known {
    name: &'static str,
    takes: Kinds,
    gives: Kinds,
    example: &'static str,
}

const SCALAR: Kinds = Kinds::TEXT.or(Kinds::NUMBER).or(Kinds::BOOL);

/// Functions of one argument.
const FUNCTIONS: [Known; 5] = [
    Known {
        name: "size",
        takes: Kinds::TEXT.or(Kinds::LIST),
        gives: Kinds::WHOLE,
        example: "`size(user) > 3`",
    },
    Known {
        name: "int",
        takes: Kinds::TEXT.or(Kinds::NUMBER),
        gives: Kinds::WHOLE,
        example: "`int(rows) > 100`",
    },
    Known {
        name: "double",
        takes: Kinds::TEXT.or(Kinds::NUMBER),
        gives: Kinds::DECIMAL,
        example: "`double(cost) > 0.5`",
    },
    Known { name: "string", takes: SCALAR, gives: Kinds::TEXT, example: "`string(tenant.units)`" },
    Known {
        name: "bool",
        takes: Kinds::TEXT.or(Kinds::BOOL),
        gives: Kinds::BOOL,
        example: "`bool(flag)`",
    },
];

/// Methods of a text that take a text.
const METHODS: [Known; 3] = [
    Known {
        name: "startsWith",
        takes: Kinds::TEXT,
        gives: Kinds::BOOL,
        example: "`endpoint.startsWith(\"/v1/\")`",
    },
    Known {
        name: "endsWith",
        takes: Kinds::TEXT,
        gives: Kinds::BOOL,
        example: "`endpoint.endsWith(\".json\")`",
    },
    Known {
        name: "contains",
        takes: Kinds::TEXT,
        gives: Kinds::BOOL,
        example: "`endpoint.contains(\"/admin/\")`",
    },
];

const LOOPS: [(&str, Loop); 6] = [
    ("all", Loop::All),
    ("exists", Loop::Exists),
    ("exists_one", Loop::ExistsOne),
    ("existsOne", Loop::ExistsOne),
    ("filter", Loop::Filter),
    ("map", Loop::Map),
];

const HAS: &str = "has";

/// Calls of CEL or of its neighbours that conditions do without.
const LEFT_OUT: [(&str, &str); 9] = [
    ("matches", "use `startsWith`, `endsWith` or `contains`, or list the texts with `in`"),
    ("timestamp", "conditions know no time: end an override with `until`"),
    ("duration", "conditions know no time: end an override with `until`"),
    ("now", "conditions know no time: end an override with `until`"),
    ("uint", "write `int(...)`"),
    ("float", "write `double(...)`"),
    ("str", "write `string(...)`"),
    ("len", "write `size(...)`"),
    ("length", "write `size(...)`"),
];

pub(super) fn call(checker: &mut Checker<'_>, call: &Call, node: &Node) -> Result<Part, Misread> {
    let name = call.name.text.as_str();
    let how = LOOPS.iter().find(|(known, _)| *known == name).map(|(_, how)| *how);
    let function = FUNCTIONS.iter().find(|known| known.name == name);
    let method = METHODS.iter().find(|known| known.name == name);
    match (&call.target, how, function, method) {
        (None, ..) if name == HAS => has(checker, call),
        (Some(target), Some(how), ..) => looped(checker, call, target, how),
        (Some(target), _, _, Some(known)) => {
            let [argument] = call.arguments.as_slice() else { return Err(count(call, known)) };
            let subject = takes(checker, target, known)?;
            let argument = takes(checker, argument, known)?;
            let steps = subject.steps.saturating_add(argument.steps);
            Ok(Part::new(known.gives, steps, run::method(subject.run, name, vec![argument.run])))
        }
        (Some(target), _, Some(known), _) if name == "size" => {
            if !call.arguments.is_empty() {
                return Err(count(call, known));
            }
            let subject = takes(checker, target, known)?;
            Ok(Part::new(known.gives, subject.steps, run::call(name, vec![subject.run])))
        }
        (None, _, Some(known), _) => {
            let [argument] = call.arguments.as_slice() else { return Err(count(call, known)) };
            let argument = takes(checker, argument, known)?;
            Ok(Part::new(known.gives, argument.steps, run::call(name, vec![argument.run])))
        }
        _ => Err(refused(checker, call, node)),
    }
}

/// A call of another form than its name has, or of no known name.
fn refused(checker: &Checker<'_>, call: &Call, node: &Node) -> Misread {
    let name = call.name.text.as_str();
    let target = call.target.as_ref().map(|target| checker.source(target));
    let first = call.arguments.first().map(|argument| checker.source(argument));
    let is_method = METHODS.iter().any(|known| known.name == name);
    let is_function = FUNCTIONS.iter().any(|known| known.name == name);
    let is_loop = LOOPS.iter().any(|(known, _)| *known == name);
    let (message, hint) = match target {
        Some(target) if name == HAS => {
            let hint = format!("write `has({target}.NAME)`");
            (format!("`{name}` is no method"), hint)
        }
        Some(target) if is_function => {
            (format!("`{name}` is no method"), format!("write `{name}({target})`"))
        }
        None if is_method => {
            let subject = first.unwrap_or("endpoint");
            let second = call.arguments.get(1).map_or("\"TEXT\"", |node| checker.source(node));
            let hint = format!("write `{subject}.{name}({second})`");
            (format!("`{name}` is a method of a text"), hint)
        }
        None if is_loop => {
            let hint = format!("write `[ITEM, ITEM].{name}(x, CONDITION)`");
            (format!("`{name}` is a method of a list"), hint)
        }
        _ => {
            let names: Vec<&str> = FUNCTIONS
                .iter()
                .chain(&METHODS)
                .map(|known| known.name)
                .chain([HAS, "all", "exists", "exists_one", "filter", "map"])
                .collect();
            let left_out = LEFT_OUT.iter().find(|(known, _)| *known == name);
            let hint = left_out
                .map_or_else(|| suggest::hint(name, &names), |(_, hint)| (*hint).to_owned());
            let message = format!("there is no function {}", shown(name));
            return wrong(call.name.bytes.clone(), message, hint);
        }
    };
    wrong(node.bytes.clone(), message, hint)
}

fn count(call: &Call, known: &Known) -> Misread {
    let wanted = match (call.target.is_some(), known.name) {
        (true, "size") => "no argument".to_owned(),
        _ => "one argument".to_owned(),
    };
    let message = format!("`{}` takes {wanted}, not {}", known.name, call.arguments.len());
    wrong(call.name.bytes.clone(), message, format!("as in {}", known.example))
}

/// A part that a function or method can take.
fn takes(checker: &mut Checker<'_>, node: &Node, known: &Known) -> Result<Part, Misread> {
    let part = checker.part(node)?;
    if part.kinds.meets(known.takes) {
        return Ok(part);
    }
    let source = checker.source(node);
    let message = format!(
        "`{}` takes {}, and {} is {}",
        known.name,
        known.takes.named(),
        shown(source),
        part.kinds.named()
    );
    let hint = match known.takes == Kinds::TEXT && part.kinds.meets(Kinds::NUMBER) {
        true => format!("write `string({source})`, or the number in quotes"),
        false => format!("as in {}", known.example),
    };
    Err(wrong(node.bytes.clone(), message, hint))
}

/// `has(attributes.x)` and `has(TABLE.FIELD)`.
fn has(checker: &mut Checker<'_>, call: &Call) -> Result<Part, Misread> {
    let [argument] = call.arguments.as_slice() else {
        let message = format!("`has` takes one argument, not {}", call.arguments.len());
        let hint = "as in `has(attributes.tenant)`";
        return Err(wrong(call.name.bytes.clone(), message, hint));
    };
    if let Some((name, _)) = checker.named(argument)? {
        return Ok(checker.presence(name));
    }
    let message = format!("`has` takes no {}", shown(checker.source(argument)));
    let hint = match &argument.what {
        Tree::Word(word) => format!("write `has(attributes.{word})`"),
        Tree::Text(text) => format!("write `\"{text}\" in attributes`"),
        _ => "write `has(attributes.NAME)` or `has(TABLE.FIELD)`".to_owned(),
    };
    Err(wrong(argument.bytes.clone(), message, hint))
}

fn looped(
    checker: &mut Checker<'_>,
    call: &Call,
    target: &Node,
    how: Loop,
) -> Result<Part, Misread> {
    let name = &call.name.text;
    let (item, body) = match call.arguments.as_slice() {
        [item, body] => (item, body),
        arguments => {
            let message = format!("`{name}` takes two arguments, not {}", arguments.len());
            let hint = format!("as in `[\"/v1/\", \"/v2/\"].{name}(x, endpoint.startsWith(x))`");
            return Err(wrong(call.name.bytes.clone(), message, hint));
        }
    };
    let Tree::Word(word) = &item.what else {
        let message = format!("{} cannot name an item", shown(checker.source(item)));
        let hint = format!("write a word, as in `.{name}(x, x != \"\")`");
        return Err(wrong(item.bytes.clone(), message, hint));
    };
    let range = checker.part(target)?;
    if !range.kinds.meets(Kinds::LIST) {
        let source = checker.source(target);
        let message = format!("{} is {}, not a list", shown(source), range.kinds.named());
        let hint = format!("write the list out, as in `[\"a\", \"b\"].{name}(x, x == {source})`");
        return Err(wrong(target.bytes.clone(), message, hint));
    }
    let depth = checker.loops.len();
    checker.loops.push((word.clone(), range.items));
    let body_part = if how == Loop::Map { checker.part(body) } else { checker.truth(body) };
    checker.loops.pop();
    let body_part = body_part?;
    if body_part.kinds.meets(Kinds::LIST) {
        let message = "a list holds no list".to_owned();
        return Err(wrong(body.bytes.clone(), message, "make each item a text or a number"));
    }
    let each = body_part.steps.saturating_add(4);
    let steps = range.steps.saturating_add(each.saturating_mul(range.length));
    let (kinds, items, length) = match how {
        Loop::All | Loop::Exists | Loop::ExistsOne => (Kinds::BOOL, Kinds::default(), 0),
        Loop::Filter => (Kinds::LIST, range.items, range.length),
        Loop::Map => (Kinds::LIST, body_part.kinds, range.length),
    };
    let run = run::over(how, range.run, body_part.run, depth);
    Ok(Part { items, length, ..Part::new(kinds, steps, run) })
}
