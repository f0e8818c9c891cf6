"""Functions that TissQL needs in PostgreSQL: kinds of JSON values, and numbers that behave as elsewhere.

Numbers of documents are `numeric` here, floats those with digits after the point. What is reckoned with floats is
reckoned with `float8`, which raises errors where others overflow.
"""

from __future__ import annotations

from decimal import Context, Decimal

_TOO_LARGE = 2**1024 - 2**970
"""From here on, rounding to a float gives infinity."""

_TOO_SMALL = f"{Context(prec=2000).divide(Decimal(1), Decimal(2**1075)):f}"
"""Up to here, rounding to a float gives zero."""

_POWER = "greatest(floor(ln(abs(x)) / ln(2::float8))::integer - 60, 0)"
"""Of 2, by which large floats are divided to be integers of 64 bits: exactly, since that is how they are made."""

_PURE = "IMMUTABLE PARALLEL SAFE"

FUNCTIONS = (
    f"""CREATE FUNCTION tissql_rank(x jsonb) RETURNS integer LANGUAGE sql {_PURE} AS $$
        SELECT CASE jsonb_typeof(x) WHEN 'number' THEN 2 WHEN 'string' THEN 3 WHEN 'boolean' THEN 1
            WHEN 'array' THEN 8 WHEN 'object' THEN CASE WHEN jsonb_exists(x, '$date') THEN 4
            WHEN jsonb_exists(x, '$time') THEN 5 WHEN jsonb_exists(x, '$datetime') THEN 6
            WHEN jsonb_exists(x, '$binary') THEN 7 ELSE 9 END ELSE 0 END $$""",
    f"""CREATE FUNCTION tissql_text(x jsonb) RETURNS text LANGUAGE sql {_PURE} AS $$
        SELECT CASE jsonb_typeof(x) WHEN 'string' THEN x #>> '{{}}' WHEN 'boolean' THEN x::text
            WHEN 'array' THEN x::text WHEN 'object' THEN
            coalesce(x ->> '$date', x ->> '$time', x ->> '$datetime', x ->> '$binary', x::text) END $$""",
    f"""CREATE FUNCTION tissql_numeric(x jsonb) RETURNS numeric LANGUAGE sql {_PURE} AS $$
        SELECT CASE WHEN jsonb_typeof(x) = 'number' THEN x::numeric END $$""",
    f"""CREATE FUNCTION tissql_whole(x numeric) RETURNS numeric LANGUAGE sql {_PURE} AS $$
        SELECT CASE WHEN x = trunc(x) AND x BETWEEN -9223372036854775808 AND 9223372036854775807
            THEN trunc(x) ELSE x END $$""",
    f"""CREATE FUNCTION tissql_float(x numeric) RETURNS float8 LANGUAGE sql {_PURE} AS $$
        SELECT CASE WHEN abs(x) >= {_TOO_LARGE} THEN NULL WHEN abs(x) <= {_TOO_SMALL} THEN 0
            ELSE x::float8 END $$""",
    f"""CREATE FUNCTION tissql_rounded(x float8) RETURNS numeric LANGUAGE sql {_PURE} AS $$
        SELECT CASE WHEN abs(x) < 1e16 THEN x::text::numeric ELSE
            (x / power(2::float8, {_POWER}))::bigint * power(2::numeric, {_POWER}) END + 0.0 $$""",
    f"""CREATE FUNCTION tissql_total(x numeric) RETURNS numeric LANGUAGE sql {_PURE} AS $$
        SELECT CASE WHEN scale(x) = 0 AND x BETWEEN -9223372036854775808 AND 9223372036854775807
            THEN x ELSE tissql_rounded(tissql_float(x)) END $$""",
    f"""CREATE FUNCTION tissql_calculated(operator text, a numeric, b numeric) RETURNS numeric
        LANGUAGE plpgsql STRICT {_PURE} AS $$
        DECLARE
            x float8 := a;
            y float8 := b;
            exact numeric;
        BEGIN
            IF operator = '/' THEN
                IF b = 0 THEN RETURN NULL; END IF;
                RETURN tissql_rounded(x / y);
            END IF;
            IF scale(a) = 0 AND scale(b) = 0 THEN
                exact := CASE operator WHEN '+' THEN a + b WHEN '-' THEN a - b ELSE a * b END;
                IF exact BETWEEN -9223372036854775808 AND 9223372036854775807 THEN RETURN exact; END IF;
            END IF;
            RETURN tissql_rounded(CASE operator WHEN '+' THEN x + y WHEN '-' THEN x - y ELSE x * y END);
        EXCEPTION WHEN numeric_value_out_of_range THEN
            -- A product of large numbers and a quotient by a small one overflow; the others vanish.
            IF operator = '*' AND (abs(x) < 1 OR abs(y) < 1) OR operator = '/' AND abs(y) > 1 THEN
                RETURN 0.0;
            END IF;
            RETURN NULL;
        END $$""",
    f"""CREATE FUNCTION tissql_deviation(n bigint, sums numeric, squares numeric) RETURNS numeric
        LANGUAGE sql {_PURE} AS $$
        SELECT CASE WHEN n > 1 THEN tissql_rounded(sqrt(tissql_float(
            tissql_calculated('/', tissql_rounded(tissql_float(squares * n - sums * sums)), n::numeric * (n - 1))
        ))) END $$""",
    f"""CREATE FUNCTION tissql_moment(x bigint) RETURNS text LANGUAGE sql {_PURE} AS $$
        SELECT CASE WHEN x BETWEEN -62135596800000000 AND 253402300799999999 THEN
            to_char(timestamp 'epoch' + interval '1 second' * (x / 1000000)
                + interval '1 microsecond' * (x % 1000000), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END $$""",
    f"""CREATE FUNCTION tissql_shift(kind integer, t text, months integer, microseconds bigint) RETURNS text
        LANGUAGE plpgsql STRICT {_PURE} AS $$
        DECLARE
            moved timestamp;
            step interval := interval '1 second' * (microseconds / 1000000)
                + interval '1 microsecond' * (microseconds % 1000000);
        BEGIN
            IF kind = 5 THEN RETURN to_char(timestamp '2000-01-01' + (t::time + step), 'HH24:MI:SS.US'); END IF;
            IF kind = 4 THEN
                step := interval '1 day' * floor(microseconds::numeric / 86400000000)::integer;
            END IF;
            IF kind = 6 THEN t := left(t, -1); ELSIF kind <> 4 THEN RETURN NULL; END IF;
            moved := t::timestamp + make_interval(months => months) + step;
            IF moved < timestamp '0001-01-01' OR moved >= timestamp '10000-01-01' THEN RETURN NULL; END IF;
            RETURN to_char(moved, CASE kind WHEN 4 THEN 'YYYY-MM-DD' ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END);
        EXCEPTION WHEN datetime_field_overflow OR interval_field_overflow THEN
            RETURN NULL;
        END $$""",
)
"""Statements that make them, each after those that it needs."""
