//! Formulas and numbers against tables, and against a slow reading of random expression trees.

use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Number {
    Number::parse(text.as_bytes()).unwrap()
}

/// The value where `rows` is 250, `tenant.units` 400, `client-id` 7 and `half` 0.5.
fn value(text: &str) -> Result<Number, EvalError> {
    let formula = Formula::parse(text).unwrap_or_else(|misread| panic!("{text}: {misread:?}"));
    formula.eval(|index| match formula.names()[index].as_str() {
        "rows" => Some(number("250")),
        "tenant.units" => Some(number("400")),
        "client-id" => Some(number("7")),
        "half" => Some(number("0.5")),
        _ => None,
    })
}

#[test]
fn formulas_have_their_exact_value() {
    for (text, expected) in [
        ("150000 + 1500 * tenant.units", "750000"),
        ("ceil(rows / 100)", "3"),
        ("floor(rows / 100)", "2"),
        ("round(rows / 100)", "3"),
        ("round(2.4)", "2"),
        ("round(-2.5)", "-2"),
        ("ceil(-2.5)", "-2"),
        ("floor(-2.5)", "-3"),
        ("1_000_000", "1000000"),
        (" 2.50 ", "2.5"),
        ("0.1 + 0.2", "0.3"),
        ("1 / 3 * 3", "1"),
        ("1 - 2 - 3", "-4"),
        ("1 - (2 - 3)", "2"),
        ("24 / 4 / 2", "3"),
        ("24 / (4 / 2)", "12"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("-2 * 3", "-6"),
        ("2 - -3", "5"),
        ("--3", "3"),
        ("-(2 + 3)", "-5"),
        ("min(3, rows, 2)", "2"),
        ("max(1, half)", "1"),
        ("max(min(rows, 100), 20 * 4)", "100"),
        ("min (1, 2)", "1"),
        ("rows - client-id", "243"),
        ("rows -1", "249"),
        ("rows-1", "249"),
        ("5-half", "4.5"),
        ("client-id-1", "6"),
        ("18446744073709551615 * 2", "36893488147419103230"),
        ("min(5,100)", "5"),
    ] {
        assert_eq!(value(text), Ok(number(expected)), "{text}");
    }
}

#[test]
fn what_has_no_value_says_why() {
    let large = "999999999999999999999999999999";
    for (text, expected) in [
        ("1 / 0", EvalError::DivisionByZero),
        ("1 / (half - 0.5)", EvalError::DivisionByZero),
        (&format!("{large} * {large}"), EvalError::Overflow),
        (&format!("1 / {large} / {large}"), EvalError::Overflow),
        ("rows + tenant.seats", EvalError::Missing(1)),
    ] {
        assert_eq!(value(text), Err(expected), "{text}");
    }
}

#[test]
fn names_are_listed_once_in_the_order_of_first_use() {
    let formula = Formula::parse("b * tenant.units + a / (b - tenant.plan-units)").unwrap();
    assert_eq!(formula.names(), ["b", "tenant.units", "a", "tenant.plan-units"]);
    assert_eq!(Formula::parse("min(max, max.min)").unwrap().names(), ["max", "max.min"]);
}

#[test]
fn constants_are_those_without_names() {
    assert_eq!(Formula::parse("2 * 3").unwrap().as_constant(), Some(number("6")));
    assert_eq!(Formula::number(7).as_constant(), Some(number("7")));
    assert_eq!(Formula::parse("2 * rows").unwrap().as_constant(), None);
    assert_eq!(Formula::parse("2 / 0").unwrap().as_constant(), None);
}

#[test]
fn shares_are_rounded_down_once() {
    let share = Formula::parse("tenant.units / 3").unwrap().scaled(80, 100);
    assert_eq!(share.eval(|_| Some(number("400"))), Ok(number("106")));
    assert_eq!(share.to_string(), "floor(tenant.units / 3 * 80 / 100)");
    let sum = Formula::parse("1 + 1.25").unwrap().scaled(1, 2);
    assert_eq!(sum.as_constant(), Some(number("1")));
    assert_eq!(sum.to_string(), "floor((1 + 1.25) * 1 / 2)");
}

#[test]
fn the_normal_spelling_has_no_idle_parentheses() {
    for (text, spelling) in [
        ("150000+1500*tenant.units", "150000 + 1500 * tenant.units"),
        ("((1))+(2*3)", "1 + 2 * 3"),
        ("1-(2-3)", "1 - (2 - 3)"),
        ("(1-2)-3", "1 - 2 - 3"),
        ("(1+2)*3", "(1 + 2) * 3"),
        ("1*(2/3)", "1 * (2 / 3)"),
        ("-(1+2)", "-(1 + 2)"),
        ("--1", "-(-1)"),
        ("2--a", "2 - -a"),
        ("(-a)*b", "-a * b"),
        ("-(a*b)", "-(a * b)"),
        ("min(min(1,2),min(3,4))", "min(1, 2, min(3, 4))"),
        ("min(max(1,2),3)", "min(max(1, 2), 3)"),
        ("min((min(1,2))+1,min(1,2))", "min(min(1, 2) + 1, min(1, 2))"),
        ("ceil((rows/1_00))", "ceil(rows / 100)"),
        ("2.50", "2.5"),
    ] {
        let formula = Formula::parse(text).unwrap();
        assert_eq!(formula.to_string(), spelling, "{text}");
        assert_eq!(Formula::parse(spelling), Ok(formula), "{text}");
    }
}

/// Of each text the part that is underlined, and a piece of the hint.
fn assert_refused(table: &[(&str, &str, &str)]) {
    for (text, part, hint) in table {
        let misread = Formula::parse(text).expect_err(text);
        assert_eq!(&text[misread.bytes.clone()], *part, "{text}: {misread:?}");
        assert_eq!(misread.code, "bad-formula", "{text}: {misread:?}");
        assert!(misread.hint.contains(hint), "{text}: {misread:?}");
    }
}

#[test]
fn what_is_no_number_and_no_operator_is_refused_with_what_to_type() {
    assert_refused(&[
        ("", "", "150000 + 1500"),
        ("  ", "  ", "150000 + 1500"),
        ("2 x 3", "x", "write `*`"),
        ("2 × 3", "×", "write `*`"),
        ("6 ÷ 3", "÷", "write `/`"),
        ("6 − 3", "−", "write `-`"),
        ("rows over 3", "over", "write `/`"),
        ("2x", "2x", "write `2 *`"),
        ("2x3", "2x3", "write it in digits"),
        ("2rows", "2rows", "write `2 * rows`"),
        ("10k", "10k", "write `10_000`"),
        ("2M", "2M", "write `2_000_000`"),
        ("1e6", "1e6", "write it in digits"),
        ("0x1F", "0x1F", "write it in digits"),
        ("1,000", "1,000", "write `1000` or `1_000`"),
        ("2 * 1,000,000 + 1", "1,000,000", "write `1000000` or `1_000_000`"),
        ("min(1,000, rows)", "1,000", "write `1000` or `1_000`"),
        ("2, 3", ",", "values of `min` and `max`"),
        ("1 000", "1 000", "write `1000` or `1_000`"),
        ("1__0", "1__0", "write digits"),
        ("1_", "1_", "write digits"),
        ("1.5.2", "1.5.2", "write digits"),
        (".5", ".5", "write `0.5`"),
        ("5. + 1", "5.", "write `5`"),
        (".", ".", "write digits"),
    ]);
}

#[test]
fn what_is_not_well_formed_is_refused_with_what_to_type() {
    assert_refused(&[
        ("rows ^ 2", "^", "`A * A`"),
        ("rows ** 2", "**", "`A * A`"),
        ("pow(rows, 2)", "pow", "`A * A`"),
        ("rows * 80%", "%", "`rows * 80 / 100`"),
        ("80% of rows", "%", "`rows * 80 / 100`"),
        ("rows 3", "3", "`rows * 3`"),
        ("2 (3)", "(", "write `*` before"),
        ("(1) (2)", "(", "write `*` before"),
        ("(1 2)", "2", "`1 * 2`"),
        ("ceil 3", "ceil 3", "write `ceil(3)`"),
        ("ceiling(3)", "ceiling", "write `ceil`"),
        ("cel(3)", "cel", "did you mean `ceil`?"),
        ("MIN(1, 2)", "MIN", "did you mean `min`?"),
        ("hypotenuse(1, 2)", "hypotenuse", "use one of `min`, `max`, `ceil`, `floor`, `round`"),
        ("min(1)", "min(1)", "write `min(A, B)`"),
        ("1 + ceil(1, 2)", "ceil(1, 2)", "write `ceil(A)`"),
        ("min()", "()", "write a value between"),
        ("()", "()", "write a value between"),
        ("2 * (3 + 1", "(", "add the `)`"),
        ("min(1, 2", "(", "add the `)`"),
        ("2 + 1)", ")", "remove it, or open"),
        ("2 +", "+", "write a number or a name"),
        ("(2 + )", "+", "write a number or a name"),
        ("min(1,)", ",", "write a number or a name"),
        ("* 2", "*", "write a number or a name"),
        ("2 + * 3", "*", "write a number or a name"),
        ("+ 2", "+", "write a number or a name"),
        ("${tenant.units} + 1", "$", "write names plainly"),
        ("'rows'", "'", "write names plainly"),
        ("rows > 2", ">", "use numbers, names"),
        ("tenant. units", "tenant.", "`TABLE.FIELD`"),
        ("tenant.a.b", "tenant.a.b", "`TABLE.FIELD`"),
        ("größe", "ö", "use numbers, names"),
    ]);
}

#[test]
fn what_is_too_long_or_too_deep_is_refused() {
    let deep = format!("{}1{}", "(".repeat(65), ")".repeat(65));
    let minuses = format!("{}1", "-".repeat(65));
    let long = "1 + ".repeat(1_025);
    let digits = "1".repeat(31);
    assert_refused(&[
        (&digits, &digits, "at most 30 digits"),
        (&deep, "1", "remove parentheses"),
        (&minuses, "1", "remove parentheses"),
        (&long, &long, "field of a table"),
    ]);
}

#[test]
fn what_is_just_within_the_bounds_is_read() {
    let deep = format!("{}1{}", "(".repeat(64), ")".repeat(64));
    assert_eq!(Formula::parse(&deep), Ok(Formula::number(1)));
    let minuses = format!("{}1", "-".repeat(64));
    assert_eq!(Formula::parse(&minuses).unwrap().as_constant(), Some(number("1")));
    let long = format!("1{}", "+1".repeat(2_047));
    assert_eq!(Formula::parse(&long).unwrap().as_constant(), Some(number("2048")));
    let wide = format!("{}1{}", "1+(".repeat(64), ")".repeat(64));
    assert_eq!(Formula::parse(&wide).unwrap().as_constant(), Some(number("65")));
}

#[test]
fn numbers_read_as_decimal_text_only() {
    for (text, shown) in [
        ("0", "0"),
        ("-0", "0"),
        ("+7", "7"),
        ("-3.10", "-3.1"),
        ("007", "7"),
        ("0.125", "0.125"),
        ("999999999999999999999999999999", "999999999999999999999999999999"),
        ("0.00000000000000000000000000001", "0.00000000000000000000000000001"),
    ] {
        assert_eq!(number(text).to_string(), shown, "{text}");
    }
    for text in
        ["", "-", "+", ".", "1.", ".5", "1e3", " 1", "1 ", "1_0", "--1", "1.2.3", "0x1", "NaN", "١"]
    {
        assert_eq!(Number::parse(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(Number::parse(&[b'1'; 31]), None);
    assert_eq!(Number::parse(b"1\xFF"), None);
    let third = number("1").divided_by(number("3")).unwrap();
    assert_eq!(third.to_string(), "1/3");
    assert_eq!(third.negated().unwrap().to_string(), "-1/3");
}

#[test]
fn numbers_become_amounts_only_when_they_fit() {
    for (text, floor, ceil) in [
        ("2.5", Some(2), Some(3)),
        ("2", Some(2), Some(2)),
        ("-0.5", None, Some(0)),
        ("-1", None, None),
        ("18446744073709551615", Some(u64::MAX), Some(u64::MAX)),
        ("18446744073709551615.1", Some(u64::MAX), None),
        ("18446744073709551616", None, None),
    ] {
        assert_eq!(number(text).floor_u64(), floor, "{text}");
        assert_eq!(number(text).ceil_u64(), ceil, "{text}");
    }
}

#[test]
fn percents_are_read_to_two_decimals() {
    for (text, of_1000, of_most, shown) in [
        ("80%", 800, 14_757_395_258_967_641_292, "80%"),
        (" 33.33% ", 333, 6_148_299_799_767_393_553, "33.33%"),
        ("0.01%", 0, 1_844_674_407_370_955, "0.01%"),
        ("12.50%", 125, 2_305_843_009_213_693_951, "12.5%"),
        ("100%", 1_000, u64::MAX, "100%"),
    ] {
        let percent = Percent::parse(text).unwrap();
        assert_eq!((percent.of(1_000), percent.of(u64::MAX)), (of_1000, of_most), "{text}");
        assert_eq!(percent.to_string(), shown);
        let exact = Number::from_u64(u64::MAX).times(Number::from_percent(percent)).unwrap();
        assert_eq!(exact.floor_u64(), Some(of_most), "{text}");
    }
    for (text, hint) in [
        ("80", "write `80%`"),
        ("0.8", "write `80%`"),
        ("80 %", "write `80%`"),
        ("80 percent", "write `80%`"),
        ("0%", "the least is `0.01%`"),
        ("-5%", "the least is `0.01%`"),
        ("100.01%", "the most is `100%`"),
        ("33.333%", "as in `33.33%`"),
        ("half", "as in `80%`"),
        ("%", "as in `80%`"),
        ("", "as in `80%`"),
        ("+80%", "write `80%`"),
    ] {
        let misread = Percent::parse(text).expect_err(text);
        assert_eq!((misread.code, misread.bytes), ("bad-percent", 0..text.len()), "{text}");
        assert!(misread.hint.contains(hint), "{text}: {}", misread.hint);
    }
}

/// An expression as the slow reading has it.
#[derive(Clone, Debug)]
enum Tree {
    /// Tenths.
    Number(u16),
    Name(u8),
    Negate(Box<Tree>),
    Round(u8, Box<Tree>),
    Pair(char, Box<Tree>, Box<Tree>),
    Pick(bool, Vec<Tree>),
    Parentheses(Box<Tree>),
}

const NAMES: [(&str, i128); 3] = [("rows", 7), ("tenant.units", 12), ("client-id", -5)];

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![any::<u16>().prop_map(Tree::Number), (0_u8..3).prop_map(Tree::Name)];
    leaf.prop_recursive(7, 64, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new).boxed();
        let sign = prop::sample::select(vec!['+', '-', '*', '/']);
        prop_oneof![
            1 => boxed.clone().prop_map(Tree::Negate),
            2 => (0_u8..3, boxed.clone()).prop_map(|(which, tree)| Tree::Round(which, tree)),
            6 => (sign, boxed.clone(), boxed.clone()).prop_map(|(sign, a, b)| Tree::Pair(sign, a, b)),
            2 => (any::<bool>(), prop::collection::vec(inner, 2..4))
                .prop_map(|(least, values)| Tree::Pick(least, values)),
            1 => boxed.prop_map(Tree::Parentheses),
        ]
    })
}

/// The text, with parentheses wherever the operators alone would be read otherwise.
fn printed(tree: &Tree) -> String {
    let in_parentheses = |tree: &Tree| format!("({})", printed(tree));
    let factor = |tree: &Tree| match tree {
        Tree::Pair('+' | '-', ..) => in_parentheses(tree),
        _ => printed(tree),
    };
    match tree {
        Tree::Number(tenths) => format!("{}.{}", tenths / 10, tenths % 10),
        Tree::Name(index) => NAMES[usize::from(*index)].0.to_owned(),
        Tree::Negate(inner) => match **inner {
            Tree::Pair(..) => format!("-{}", in_parentheses(inner)),
            _ => format!("-{}", printed(inner)),
        },
        Tree::Round(which, inner) => {
            format!("{}({})", ["ceil", "floor", "round"][usize::from(*which)], printed(inner))
        }
        Tree::Pair(sign @ ('+' | '-'), left, right) => match **right {
            Tree::Pair('+' | '-', ..) => format!("{} {sign} {}", printed(left), factor(right)),
            _ => format!("{} {sign}{}", printed(left), printed(right)),
        },
        Tree::Pair(sign, left, right) => match **right {
            Tree::Pair(..) => format!("{}{sign} {}", factor(left), in_parentheses(right)),
            _ => format!("{} {sign} {}", factor(left), printed(right)),
        },
        Tree::Pick(least, values) => {
            let values: Vec<String> = values.iter().map(printed).collect();
            format!("{}({})", if *least { "min" } else { "max" }, values.join(" , "))
        }
        Tree::Parentheses(inner) => format!("( {} )", printed(inner)),
    }
}

/// Why the slow reading has no value; its fractions may outgrow 128 bits before the exact ones.
#[derive(Debug, PartialEq)]
enum Slow {
    DivisionByZero,
    TooLarge,
}

type Fraction = (i128, i128);

fn lowest((top, bottom): Fraction) -> Fraction {
    let (mut a, mut b) = (top.abs().max(bottom), top.abs().min(bottom));
    while b > 0 {
        (a, b) = (b, a % b);
    }
    (top / a, bottom / a)
}

fn slow(tree: &Tree) -> Result<Fraction, Slow> {
    let times = |a: i128, b: i128| a.checked_mul(b).ok_or(Slow::TooLarge);
    let plus = |a: i128, b: i128| a.checked_add(b).ok_or(Slow::TooLarge);
    Ok(lowest(match tree {
        Tree::Number(tenths) => (i128::from(*tenths), 10),
        Tree::Name(index) => (NAMES[usize::from(*index)].1, 1),
        Tree::Negate(inner) => slow(inner).map(|(top, bottom)| (-top, bottom))?,
        Tree::Parentheses(inner) => slow(inner)?,
        Tree::Round(which, inner) => {
            let (top, bottom) = slow(inner)?;
            let below = |top: i128| (top - ((top % bottom) + bottom) % bottom) / bottom;
            match which {
                0 => (-below(-top), 1),
                1 => (below(top), 1),
                _ if top % bottom == 0 => (top / bottom, 1),
                _ => {
                    let (low, high) = (below(top), below(top) + 1);
                    let is_nearer_to_low = 2 * (top - low * bottom) < bottom;
                    (if is_nearer_to_low { low } else { high }, 1)
                }
            }
        }
        Tree::Pair(sign, left, right) => {
            let ((a, b), (c, d)) = (slow(left)?, slow(right)?);
            match sign {
                '+' => (plus(times(a, d)?, times(c, b)?)?, times(b, d)?),
                '-' => (plus(times(a, d)?, -times(c, b)?)?, times(b, d)?),
                '*' => (times(a, c)?, times(b, d)?),
                _ if c == 0 => return Err(Slow::DivisionByZero),
                _ => (times(a, d)? * c.signum(), times(b, c.abs())?),
            }
        }
        Tree::Pick(least, values) => {
            let mut picked = slow(&values[0])?;
            for value in &values[1..] {
                let (c, d) = slow(value)?;
                let is_less = times(c, picked.1)? < times(picked.0, d)?;
                if is_less == *least {
                    picked = (c, d);
                }
            }
            picked
        }
    }))
}

fn fast(formula: &Formula) -> Result<Number, EvalError> {
    formula.eval(|index| {
        let (_, value) = NAMES.iter().find(|(name, _)| *name == formula.names()[index])?;
        Some(number(&value.to_string()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_expression_has_the_value_of_the_slow_reading(tree in trees()) {
        let text = printed(&tree);
        let formula = Formula::parse(&text).unwrap_or_else(|misread| panic!("{text}: {misread:?}"));
        match slow(&tree) {
            Ok((top, bottom)) => {
                // Both are in lowest terms, so equal numbers are written alike.
                let expected = format!("Ok(Number {{ numerator: {top}, denominator: {bottom} }})");
                prop_assert_eq!(format!("{:?}", fast(&formula)), expected, "{}", text);
            }
            Err(Slow::DivisionByZero) => {
                prop_assert_eq!(fast(&formula), Err(EvalError::DivisionByZero), "{}", text);
            }
            Err(Slow::TooLarge) => {}
        }
        let spelling = formula.to_string();
        prop_assert_eq!(Formula::parse(&spelling), Ok(formula), "{} as {}", text, spelling);
    }

    #[test]
    fn numbers_are_ordered_as_their_cross_products(
        a in any::<i64>(), b in 1..i64::MAX, c in any::<i64>(), d in 1..i64::MAX,
    ) {
        let fraction = |top: i64, bottom: i64| {
            number(&top.to_string()).divided_by(number(&bottom.to_string())).unwrap()
        };
        let wide = i128::from;
        prop_assert_eq!(
            fraction(a, b).cmp(&fraction(c, d)),
            (wide(a) * wide(d)).cmp(&(wide(c) * wide(b)))
        );
        prop_assert_eq!(fraction(a, b).cmp(&fraction(a, b)), std::cmp::Ordering::Equal);
    }

    #[test]
    fn random_text_is_read_or_refused_within_it(text in "([-+*/(),.% a-z0-9_×]|min|rows|\\PC){0,40}") {
        match Formula::parse(&text) {
            Ok(formula) => {
                let _ = formula.eval(|_| Some(number("3")));
                prop_assert_eq!(Formula::parse(&formula.to_string()), Ok(formula));
            }
            Err(misread) => prop_assert!(text.get(misread.bytes.clone()).is_some(), "{:?}", misread),
        }
        let _ = Percent::parse(&text);
        let _ = Number::parse(text.as_bytes());
    }
}
