//! What conditions say of requests, what is refused and how, and that no text and no value makes
//! them panic.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn tables() -> Tables {
    let kinds = |values: &[Value<'_>]| {
        let mut kinds = FieldKinds::default();
        values.iter().for_each(|value| kinds.add(*value));
        kinds
    };
    let tenant = [
        ("plan", kinds(&[Value::Text(b"gold")])),
        ("units", kinds(&[Value::Whole(1)])),
        ("factor", kinds(&[Value::Whole(1), Value::Decimal(0.5)])),
        ("share", kinds(&[Value::Decimal(0.5)])),
        ("vip", kinds(&[Value::Bool(true)])),
        ("mixed", kinds(&[Value::Text(b"a"), Value::Whole(1)])),
        ("max-rows", kinds(&[Value::Whole(1)])),
    ];
    let tenant = tenant.into_iter().map(|(field, kinds)| (field.to_owned(), kinds)).collect();
    HashMap::from([("tenant".to_owned(), tenant)])
}

fn compiled(text: &str) -> When {
    When::compile(text, &tables()).unwrap_or_else(|misread| panic!("{text}: {misread:?}"))
}

/// A request of the tenant `acme`; `odd` is not UTF-8, and what is not named here is absent.
fn value(name: &str) -> Option<Value<'static>> {
    Some(match name {
        "tenant" => Value::Text(b"acme"),
        "method" => Value::Text(b"GET"),
        "endpoint" => Value::Text(b"/v1/orders"),
        "user" => Value::Text("zoë".as_bytes()),
        "rows" => Value::Text(b"250"),
        "empty" => Value::Text(b""),
        "x-api-version" => Value::Text(b"2"),
        "odd" => Value::Text(b"\xff"),
        "tenant.plan" => Value::Text(b"gold"),
        "tenant.units" => Value::Whole(3),
        "tenant.factor" => Value::Decimal(1.5),
        "tenant.share" => Value::Decimal(0.25),
        "tenant.vip" => Value::Bool(true),
        "tenant.mixed" => Value::Whole(7),
        _ => return None,
    })
}

/// `true`, `false`, or why it is neither.
fn verdict(text: &str) -> String {
    let when = compiled(text);
    match when.holds(|position| value(&when.names()[position].to_string())) {
        Ok(holds) => holds.to_string(),
        Err(failure) => failure.to_string(),
    }
}

/// Conditions, and what they say of the request.
const VERDICTS: &[(&str, &str)] = &[
    ("tenant == \"acme\"", "true"),
    ("tenant == 'acme' && method != 'GET'", "false"),
    ("method in [\"GET\", \"HEAD\"]", "true"),
    ("!(method in ['POST'])", "true"),
    ("endpoint.startsWith(\"/v1/\")", "true"),
    ("endpoint.endsWith('orders') && endpoint.contains('1/o')", "true"),
    ("size(user) > 3", "false"),
    ("user.size() == 3 && user == \"zo\\u00eb\" && user == 'zoë'", "true"),
    ("int(rows) > 100", "true"),
    ("double(rows) / 4.0 == 62.5", "true"),
    ("rows + '!' == '250!'", "true"),
    ("string(int(rows) % 7) == '5'", "true"),
    ("-int(rows) < -249 && - 1 < 0", "true"),
    ("1 + 2 * 3 - 4 / 2 == 5 && (1 + 2) * 3 == 9", "true"),
    ("8 - 4 - 2 == 2 && 100 / 10 / 5 == 2", "true"),
    ("0x1f == 31 && 1.5e1 == 15.0 && .5 < 1.0 && 2 == 2.0", "true"),
    ("r'\\d' == '\\\\d' && '\\x41\\101\\t' == \"AA\\u0009\"", "true"),
    ("true || false && false", "true"),
    ("(true || false) && false", "false"),
    ("method == 'GET' ? tenant.vip : false", "true"),
    ("false ? true : true ? false : true", "false"),
    ("bool('true') && !bool(\"0\")", "true"),
    // The word stays the text, and its field is the row's.
    ("tenant == 'acme' && tenant.plan == 'gold'", "true"),
    ("tenant.units * 2 == 6 && tenant.units > 2.5", "true"),
    ("tenant.share * 4.0 == 1.0", "true"),
    ("double(tenant.factor) * 2.0 == 3.0 && tenant.factor > 1", "true"),
    ("tenant.vip", "true"),
    ("tenant.mixed == 7 && tenant.mixed != 'a' && string(tenant.mixed) == '7'", "true"),
    ("tenant.plan.startsWith('go')", "true"),
    ("tenant['plan'] == 'gold' && attributes['tenant.plan'] == 'gold'", "true"),
    // Presence.
    ("has(attributes.tenant) && !has(attributes.nobody)", "true"),
    ("'tenant' in attributes && !('x-none' in attributes)", "true"),
    ("has(tenant.plan) && !has(tenant['max-rows']) && 'vip' in tenant", "true"),
    ("has(attributes.odd)", "true"),
    ("has(attributes.empty) && empty == ''", "true"),
    ("attributes[\"x-api-version\"] == '2' && attributes.method == 'GET'", "true"),
    ("has(attributes.nobody) && nobody == 'x'", "false"),
    ("!has(attributes.nobody) || nobody == 'x'", "true"),
    // What decides needs not what is absent, on either side.
    ("nobody == 'x' || method == 'GET'", "true"),
    ("nobody == 'x' && method == 'POST'", "false"),
    ("odd == 'x' || true", "true"),
    // Loops.
    ("['/v1/', '/v2/'].exists(p, endpoint.startsWith(p))", "true"),
    ("['/v1/', '/v2/'].all(p, endpoint.startsWith(p))", "false"),
    ("['/v1/', '/v2/'].exists_one(p, endpoint.startsWith(p))", "true"),
    ("['a', 'a'].existsOne(p, p == 'a')", "false"),
    ("[1, 2, 3].filter(n, n > 1).map(n, n * 2) == [4, 6]", "true"),
    ("size(['a'] + ['b']) == 2 && [].size() == 0", "true"),
    ("[1, 2].exists(a, [2, 3].exists(b, a == b))", "true"),
    ("[1, 2].exists(x, [10].all(x, x == 10) && x == 2)", "true"),
    ("['POST'].exists(method, method == 'POST') && method == 'GET'", "true"),
    ("['a', 'b'][int(tenant.units) - 2] == 'b'", "true"),
    ("['nobody'].exists(int, int == 'nobody')", "true"),
    ("[].all(x, x) && ![].exists(x, x == 1)", "true"),
    // Failures.
    ("nobody == 'x'", "`nobody` is absent"),
    ("nobody == 'x' && method == 'GET'", "`nobody` is absent"),
    ("tenant['max-rows'] > 1", "`tenant.max-rows` is absent"),
    ("odd == 'x'", "`odd` is not UTF-8"),
    ("int(tenant) > 1", "a text cannot be read as what it is converted to"),
    ("int(empty) > 1", "a text cannot be read as what it is converted to"),
    ("bool(rows)", "a text cannot be read as what it is converted to"),
    ("1 / (int(rows) - 250) == 1", "division by zero"),
    ("1 % (int(rows) - 250) == 1", "division by zero"),
    ("9223372036854775807 + int(rows) > 0", "a number is too large"),
    ("-9223372036854775808 / (int(rows) - 251) > 0", "a number is too large"),
    ("-(-9223372036854775808 + (int(rows) - 250)) > 0", "a number is too large"),
    ("['a'][int(rows)] == 'a'", "a list has no such item"),
    ("['a'][-1] == 'a'", "a list has no such item"),
    ("tenant.mixed + 'a' == 'b'", "the values are of kinds that do not go together"),
    ("tenant.mixed.startsWith('a')", "the values are of kinds that do not go together"),
];

#[test]
fn conditions_hold_or_not_as_written() {
    for (text, expected) in VERDICTS {
        assert_eq!(verdict(text), *expected, "{text}");
    }
}

#[test]
fn names_are_those_that_are_read_each_once() {
    let text = "tenant == 'a' || tenant.plan in ['b', tenant] || ['x'].exists(i, i == user) \
                || 'x-y' in attributes || attributes['x-y'] == 'z' || tenant.plan == 'c'";
    let when = compiled(text);
    let names: Vec<String> = when.names().iter().map(Name::to_string).collect();
    assert_eq!(names, ["tenant", "tenant.plan", "user", "x-y"]);
    assert_eq!(when.names()[1], Name::Field { table: "tenant".into(), field: "plan".into() });
    assert_eq!(when.to_string(), text);
}

/// Texts, the part that is underlined, and parts of the message and of the hint.
const REFUSALS: &[(&str, &str, &str, &str)] = &[
    // Texts that are no conditions.
    ("", "", "the condition is empty", "`method == \"GET\"`"),
    ("   ", "   ", "the condition is empty", "`method == \"GET\"`"),
    ("a ==", "", "ends too early", "write a name"),
    ("a == == b", "==", "`==` cannot stand here", "write a name"),
    ("(a == 'b'", "", "`)` is missing at the end", "`(a || b) && c`"),
    ("a == 'b')", ")", "`)` cannot stand here", "leave it out"),
    ("a in ['b'", "", "`]` is missing at the end", "`[ONE, OTHER]`"),
    ("size(a", "", "`)` is missing at the end", "`NAME(ONE, OTHER)`"),
    ("a = 'b'", "=", "`=` is no operator", "compare with `==`"),
    ("a === 'b'", "===", "`===` is no operator", "write `==`"),
    ("a =~ 'b'", "=~", "`=~` is no operator", "startsWith"),
    ("a & b", "&", "`&` is no operator", "write `&&`"),
    ("a == 'b' and c == 'd'", "and", "`and` cannot stand here", "write `&&`"),
    ("a == 'b' OR c == 'd'", "OR", "`OR` cannot stand here", "write `||`"),
    ("not a == 'b'", "a", "`a` cannot stand here", "write `!` for not"),
    ("a not in ['b']", "not", "`not` cannot stand here", "`!(a in b)`"),
    ("a is 'b'", "is", "`is` cannot stand here", "write `==`"),
    ("tenant == acme corp", "corp", "`corp` cannot stand here", "texts in quotes"),
    ("a == 'b", "'", "a text does not end", "close it with `'`"),
    ("a == 'b\nc'", "'", "a text does not end", "close it with `'`"),
    ("a == '''b'''", "'''", "one quote at each end", "write `'`"),
    ("a == b'c'", "b", "makes bytes", "leave it out"),
    ("a == '\\d'", "\\d", "no known escape", "write `\\\\`"),
    ("a == '\\ud800'", "\\ud800", "no known escape", "write `\\\\`"),
    ("a == “b”", "“", "`“` cannot stand here", "quote texts"),
    ("größe == 'b'", "ö", "`ö` cannot stand here", "attributes[\"NAME\"]"),
    ("a == 'b'; c == 'd'", ";", "`;` cannot stand here", "`&&`"),
    ("a == 'b' // why", "// why", "holds no comment", "after a `#`"),
    ("a == null", "null", "`null` is not a name here", "has(attributes.NAME)"),
    ("a == True", "True", "`True` is not a name here", "write `true`"),
    ("if == 'a'", "if", "`if` is not a name here", "attributes[\"if\"]"),
    ("{'a': 1}['a'] == 1", "{", "holds no map", "TABLE.FIELD"),
    ("int(a) > 10_000", "10_000", "is not a number", "write `10000`"),
    ("int(a) > 5u", "5u", "is not a number", "write `5`"),
    ("int(a) > 10k", "10k", "is not a number", "digits alone"),
    ("int(a) > 9223372036854775808", "9223372036854775808", "is too large", "9223372036854775807"),
    ("double(a) > 1e999", "1e999", "is too large", "largest"),
    ("a ? b", "", "`:` is missing at the end", "`CONDITION ? ONE : OTHER`"),
    ("tenant. == 'a'", "==", "`==` cannot stand here", "`tenant.plan`"),
    // Kinds.
    (
        "rows > 100",
        "rows > 100",
        "`rows` is a text and `100` a whole number",
        "write `int(rows) > 100`",
    ),
    ("rows == 1.5", "rows == 1.5", "a decimal number", "write `double(rows) == 1.5`"),
    ("100 < rows", "100 < rows", "`rows` a text", "write `100 < int(rows)`"),
    ("tenant.units == '5'", "tenant.units == '5'", "`'5'` a text", "write `tenant.units == 5`"),
    ("rows > tenant.units", "rows > tenant.units", "is a text", "write `int(rows) > tenant.units`"),
    ("flag == true", "flag == true", "true or false", "write `flag == \"true\"`"),
    ("tenant.vip == 'true'", "tenant.vip == 'true'", "a text", "write `tenant.vip == true`"),
    ("1 < int(a) < 5", "1 < int(a) < 5", "true or false", "write `1 < int(a) && int(a) < 5`"),
    ("a == ['b']", "a == ['b']", "a list", "write `(a in ['b'])`"),
    ("['b'] != a", "['b'] != a", "a list", "write `!(a in ['b'])`"),
    ("['b'] < ['c']", "['b'] < ['c']", "a list", "texts with texts"),
    ("rows in [1, 2]", "rows in [1, 2]", "a text", "write `int(rows) in [1, 2]`"),
    ("method in 'GET, HEAD'", "method in 'GET, HEAD'", "a text", "`method in [\"GET\", \"HEAD\"]`"),
    ("method in ('GET')", "method in ('GET')", "a text", "`method in [\"GET\"]`"),
    ("'x' in endpoint", "'x' in endpoint", "a text", "write `endpoint.contains('x')`"),
    ("a + 1 == 2", "a + 1", "a text", "write `int(a) + 1`"),
    ("'a' + 1 == 'a1'", "'a' + 1", "a text", "write `'a' + string(1)`"),
    ("a - b == 2", "a - b", "a text", "write `int(a) - int(b)`"),
    (
        "tenant.units * 1.5 > 2.0",
        "tenant.units * 1.5",
        "decimal",
        "write `double(tenant.units) * 1.5`",
    ),
    ("tenant.share * 2 > 1.0", "tenant.share * 2", "decimal", "write `tenant.share * 2.0`"),
    (
        "tenant.factor * 2 > 1",
        "tenant.factor * 2",
        "a number",
        "write `double(tenant.factor) * 2.0`",
    ),
    ("tenant.share % 2 > 1", "tenant.share % 2", "decimal", "write `int(tenant.share) % 2`"),
    ("true + 1 == 2", "true + 1", "true or false", "add numbers to numbers"),
    ("true * 1 == 2", "true * 1", "true or false", "`*` takes two numbers"),
    ("tenant", "tenant", "`tenant` is a text, not true or false", "has(attributes.tenant)"),
    ("tenant.units", "tenant.units", "is a number, not true or false", "int(rows) > 100"),
    ("'a' + 'b'", "'a' + 'b'", "is a text, not true or false", "compare it"),
    ("!a", "a", "is a text, not true or false", "write `a == \"VALUE\"`"),
    ("a == 'b' && c", "c", "is a text, not true or false", "write `c == \"VALUE\"`"),
    ("a ? true : false", "a", "is a text, not true or false", "write `a == \"VALUE\"`"),
    ("['a']", "['a']", "is a list, not true or false", "look into it"),
    ("-a < 1", "a", "`a` is a text, not a number", "write `-int(a)`"),
    ("[['a']] == []", "['a']", "a list holds no list", "join two with `+`"),
    // Names.
    ("tenant.plam == 'gold'", "plam", "has a field `plam`", "did you mean `plan`?"),
    ("has(tenant.plam)", "plam", "has a field `plam`", "did you mean `plan`?"),
    ("'plam' in tenant", "'plam'", "has a field `plam`", "did you mean `plan`?"),
    ("attributes['tenant.plam'] == 'x'", "'tenant.plam'", "has a field", "`plan`"),
    (
        "tenants.plan == 'gold'",
        "tenants",
        "`tenants` is not a table",
        "did you mean `tenant.plan`?",
    ),
    ("request.host == 'a'", "request", "`request` is not a table", "attributes[\"request.host\"]"),
    ("attributes == 'a'", "attributes", "all attributes", "attributes[\"NAME\"]"),
    ("attributes[a] == 'a'", "a", "a text in quotes", "attributes[\"NAME\"]"),
    ("a in attributes", "a", "a text in quotes", "\"NAME\" in attributes"),
    ("user[0] == 'a'", "user", "`user` is a text, not a list", "only lists"),
    ("['a']['b'] == 'a'", "'b'", "not a place", "from 0"),
    ("['a'].exists(x, x.plan == 'a')", "x.plan", "has no fields", "TABLE.FIELD"),
    // Calls.
    ("has(tenant)", "tenant", "`has` takes no `tenant`", "write `has(attributes.tenant)`"),
    ("has('x-y')", "'x-y'", "`has` takes no", "write `\"x-y\" in attributes`"),
    ("has()", "has", "takes one argument, not 0", "has(attributes.tenant)"),
    ("sise(user) > 1", "sise", "no function `sise`", "did you mean `size`?"),
    ("endpoint.startswith('/')", "startswith", "no function", "did you mean `startsWith`?"),
    ("endpoint.matches('^/v[12]')", "matches", "no function `matches`", "`startsWith`"),
    ("timestamp(a) > timestamp(b)", "timestamp", "no function", "no time"),
    (
        "startsWith(endpoint, '/')",
        "startsWith(endpoint, '/')",
        "a method of a text",
        "write `endpoint.startsWith('/')`",
    ),
    ("exists(a, b)", "exists(a, b)", "a method of a list", "[ITEM, ITEM].exists(x, CONDITION)"),
    ("rows.int() > 1", "rows.int()", "`int` is no method", "write `int(rows)`"),
    ("size(a, b) > 1", "size", "takes one argument, not 2", "size(user) > 3"),
    ("a.size(b) > 1", "size", "takes no argument, not 1", "size(user) > 3"),
    ("endpoint.startsWith() ", "startsWith", "takes one argument, not 0", "/v1/"),
    ("endpoint.startsWith(1)", "1", "takes a text, and `1` is a number", "write `string(1)`"),
    ("size(1) > 1", "1", "takes a text or a list, and `1` is a number", "size(user) > 3"),
    ("int(true) == 1", "true", "takes a text or a number", "int(rows) > 100"),
    ("tenant.all(x, x == 'a')", "tenant", "`tenant` is a text, not a list", "write the list out"),
    ("['a'].all(x)", "all", "takes two arguments, not 1", ".all(x, endpoint.startsWith(x))"),
    ("['a'].all('x', true)", "'x'", "cannot name an item", ".all(x, x != \"\")"),
    ("['a'].all(x, x)", "x", "is a text, not true or false", "compare it"),
    ("['a'].map(x, ['b']) == []", "['b']", "a list holds no list", "each item"),
];

#[test]
fn refusals_underline_the_part_and_say_what_to_type() {
    let mut unlike = Vec::new();
    for (text, part, message, hint) in REFUSALS {
        let misread = When::compile(text, &tables()).expect_err(text);
        let is_right = text[misread.bytes.clone()] == **part
            && misread.code == "bad-when"
            && misread.message.contains(message)
            && misread.hint.contains(hint);
        if !is_right {
            unlike.push(format!("{text}: {misread:?}"));
        }
    }
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
}

#[test]
fn a_hint_that_says_write_is_right() {
    for text in [
        "rows > 100",
        "tenant.units == '5'",
        "flag == true",
        "1 < int(a) < 5",
        "['b'] != a",
        "method in 'GET, HEAD'",
        "tenant.factor * 2 > 1",
        "startsWith(endpoint, '/')",
        "has(tenant)",
    ] {
        let misread = When::compile(text, &tables()).expect_err(text);
        let written = misread.hint.strip_prefix("write `").and_then(|hint| hint.strip_suffix('`'));
        let mended = text.replace(&text[misread.bytes], written.expect("something to type"));
        let mended = mended.replace("has(has(attributes.tenant))", "has(attributes.tenant)");
        assert!(When::compile(&mended, &tables()).is_ok(), "{text} -> {mended}");
    }
}

#[test]
fn hostile_texts_are_refused_in_time_and_within_the_stack() {
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    for (open, inner, close) in [
        ("(", "true", ")"),
        ("!", "true", ""),
        ("!(", "true", ")"),
        ("-", "int(a)", " "),
        ("[", "a", "]"),
        ("true?", "true", ":false"),
        ("true?true:", "true", ""),
        ("(a==", "a", ")"),
        ("size(", "a", ")"),
        ("a[", "a", "]"),
        ("1 + ", "1", ""),
        ("a.", "a", ""),
        ("[1].exists(x, ", "true", ")"),
        ("a.contains(", "a", ")"),
        ("", "a", ".size()"),
        ("", "[1]", ".filter(x, true)"),
    ] {
        let text = nested(open, inner, close, 200);
        assert!(When::compile(&text, &tables()).is_err(), "{text}");
        assert!(When::compile(&open.repeat(200), &tables()).is_err(), "{open}");
        // All that is accepted can be evaluated on the stack of a test's thread.
        for times in 0..30 {
            let text = nested(open, inner, close, times);
            for text in [text.clone(), format!("{text} == 1"), format!("{text} == 'a'")] {
                if let Ok(when) = When::compile(&text, &tables()) {
                    let _ = when.holds(|_| Some(Value::Text(b"1")));
                }
            }
        }
    }
}

#[test]
fn the_deepest_that_is_accepted_is_as_deep_as_people_write() {
    let at_depth = |times: usize| format!("{}true{}", "!(".repeat(times), ")".repeat(times));
    let deepest = (0..40).take_while(|n| When::compile(&at_depth(*n), &tables()).is_ok()).count();
    assert_eq!(deepest, parse::MOST_DEPTH / 2);
    let loops = |times: usize| format!("{}true{}", "[1].all(x, ".repeat(times), ")".repeat(times));
    let deepest = (0..40).take_while(|n| When::compile(&loops(*n), &tables()).is_ok()).count();
    assert_eq!(deepest, (parse::MOST_DEPTH - 1) / 3 + 1);
    assert!(compiled(&loops(deepest - 1)).holds(|_| None).unwrap());
}

#[test]
fn long_chains_are_no_deeper_than_short_ones() {
    let long = vec!["a == 'x'"; 300].join(" || ");
    assert!(long.len() > 3_000);
    assert_eq!(compiled(&long).holds(|_| Some(Value::Text(b"x"))), Ok(true));
    assert_eq!(compiled(&long.replace("||", "&&")).holds(|_| Some(Value::Text(b"y"))), Ok(false));
    let misread = When::compile(&"a == 'x' || ".repeat(400), &tables()).unwrap_err();
    assert!(misread.message.contains("more than 4096 bytes"), "{misread:?}");
}

#[test]
fn work_is_bounded_where_lists_multiply() {
    let items = vec!["1"; 40].join(",");
    let nested = format!("[{items}].all(a, [{items}].all(b, [{items}].all(c, a + b == c)))");
    let misread = When::compile(&nested, &tables()).unwrap_err();
    assert!(misread.message.contains("too many steps"), "{misread:?}");
    let twice = format!("[{items}].all(a, [{items}].all(b, a == b))");
    let many = format!("[{items}].map(a, a + 1).filter(a, a > 0).all(a, [{items}].all(b, a > b))");
    for text in [many, twice.replace("all(b", "filter(c, true).all(b")] {
        assert!(When::compile(&text, &tables()).is_err(), "{text}");
    }
    let few = vec!["1"; 30].join(",");
    assert!(When::compile(&format!("[{few}].all(a, [{few}].all(b, a == b))"), &tables()).is_ok());
}

#[test]
fn conditions_are_shared_between_threads() {
    fn is_shared<T: Send + Sync + Clone + fmt::Debug>() {}
    is_shared::<When>();
}

/// Some expression, mostly one that the checks let pass.
fn expression() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just("tenant".to_owned()),
        Just("rows".to_owned()),
        Just("nobody".to_owned()),
        Just("tenant.plan".to_owned()),
        Just("attributes['x-y']".to_owned()),
        "'[a-c0-9/]{0,3}'",
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(|n| format!("({n})")),
        (-3_i64..4).prop_map(|n| format!("({n})")),
        Just("tenant.units".to_owned()),
        text.clone().prop_map(|text| format!("int({text})")),
        text.clone().prop_map(|text| format!("size({text})")),
    ];
    let number = number.clone().prop_recursive(3, 8, 2, move |inner| {
        let sign = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
        prop_oneof![
            (inner.clone(), sign, inner.clone())
                .prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            inner.clone().prop_map(|a| format!("(-{a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("([{a}, {b}][{b}])")),
            inner.prop_map(|a| format!("int(double({a}) * 1e300)")),
        ]
    });
    let sign = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        (number.clone(), sign(), number.clone()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (text.clone(), sign(), text.clone()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (text.clone(), text.clone()).prop_map(|(a, b)| format!("{a}.contains({b})")),
        (text.clone(), text.clone()).prop_map(|(a, b)| format!("{a} in [{b}, 'acme']")),
        text.prop_map(|a| format!("bool({a})")),
        Just("tenant.vip".to_owned()),
        Just("has(attributes.nobody)".to_owned()),
        number.prop_map(|a| format!("[1, 2].exists(x, x * {a} > 0)")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            inner.prop_map(|a| format!("['a', '1'].all(x, x == rows || {a})")),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Option<Value<'static>>> {
    let texts: Vec<&'static [u8]> =
        vec![b"", b"a", b"1", b"-9223372036854775808", b"true", b"\xc3", "é".as_bytes()];
    prop_oneof![
        Just(None),
        prop::sample::select(texts).prop_map(|text| Some(Value::Text(text))),
        any::<i64>().prop_map(|number| Some(Value::Whole(number))),
        any::<f64>().prop_map(|number| Some(Value::Decimal(number))),
        prop::sample::select(vec![f64::NAN, f64::INFINITY, -0.0])
            .prop_map(|number| Some(Value::Decimal(number))),
        any::<bool>().prop_map(|value| Some(Value::Bool(value))),
    ]
}

/// Words and signs in any order.
fn soup() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "a",
        "tenant",
        "tenant.plan",
        "attributes",
        "'x'",
        "\"",
        "'",
        "\\",
        "1",
        "-",
        "9223372036854775808",
        "0x",
        "1e",
        ".",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "?",
        ":",
        ",",
        "!",
        "&&",
        "||",
        "==",
        "=",
        "<",
        "in",
        "+",
        "%",
        "size(",
        ".all(x,",
        ".map(x,",
        "has(",
        ".startsWith(",
        "true",
        "é",
        "\u{1F600}",
        "\n",
        "\t",
        "//",
        "r'",
        "b'",
        "null",
        "\u{0}",
        "``",
    ]);
    (prop::collection::vec((words, any::<bool>()), 0..20)).prop_map(|words| {
        words.into_iter().fold(String::new(), |mut text, (word, is_apart)| {
            let _ = write!(text, "{word}{}", if is_apart { " " } else { "" });
            text
        })
    })
}

fn misread_is_shown_well(text: &str) {
    if let Err(misread) = When::compile(text, &tables()) {
        assert!(text.get(misread.bytes.clone()).is_some(), "{text:?}: {misread:?}");
        assert!(!misread.message.is_empty() && !misread.hint.is_empty(), "{text:?}: {misread:?}");
    }
}

/// What the library alone makes of a text; its parser needs a stack of its own.
fn librarys_verdict(text: &str, names: &[Name], values: &[Option<Value<'_>>]) -> Option<bool> {
    let evaluate = || {
        let mut context = cel::Context::default();
        for (name, value) in names.iter().zip(values) {
            if let Some(Value::Text(value)) = value {
                let value = std::str::from_utf8(value).unwrap().to_owned();
                context.add_variable_from_value(name.to_string(), value);
            }
        }
        match cel::Program::compile(text).unwrap().execute(&context) {
            Ok(cel::Value::Bool(holds)) => Some(holds),
            Ok(other) => panic!("{text}: {other:?}"),
            Err(_) => None,
        }
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 20);
        thread.spawn_scoped(scope, evaluate).unwrap().join().unwrap()
    })
}

proptest! {
    #[test]
    fn no_value_makes_a_condition_panic(
        text in expression(),
        values in prop::collection::vec(any_value(), 6),
    ) {
        let when = compiled(&text);
        let first = when.holds(|position| values[position % values.len()]);
        prop_assert_eq!(first, when.holds(|position| values[position % values.len()]));
    }

    #[test]
    fn any_text_is_compiled_or_refused_at_a_place(text in "\\PC{0,60}", soup in soup()) {
        misread_is_shown_well(&text);
        misread_is_shown_well(&soup);
    }

    #[test]
    fn what_is_compiled_means_what_cel_means(text in expression(), values in prop::collection::vec(any_value(), 6)) {
        let is_text = |value: &Value<'_>| matches!(value, Value::Text(text) if std::str::from_utf8(text).is_ok());
        let texts: Vec<_> = values.into_iter().map(|value| value.filter(is_text)).collect();
        let text = text
            .replace("tenant.plan", "user")
            .replace("attributes['x-y']", "app")
            .replace("has(attributes.nobody)", "true")
            .replace("tenant.units", "3")
            .replace("tenant.vip", "false");
        let when = compiled(&text);
        let theirs = librarys_verdict(&text, when.names(), &texts);
        let ours = when.holds(|position| texts[position]).ok();
        prop_assert_eq!(ours, theirs, "{}", text);
    }
}
