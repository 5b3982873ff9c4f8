# Holds a value against a schema of an OpenAPI 3.0 document: a line for each thing that is wrong.
#     jq -r --slurpfile doc openapi.json --argjson schema '{"$ref":"#/components/schemas/Task"}' -f openapi.jq
def deref($doc):
    if has("$ref") then .["$ref"] | ltrimstr("#/") | split("/") as $p | $doc | getpath($p) | deref($doc) else . end;

def errors($doc; $given; $at):
    . as $v | ($given | deref($doc)) as $s | ($v | type) as $t
    | if $s == null then "\($at): no such schema"
    elif $v == null then (if $s.nullable then empty else "\($at): null" end)
    else
        (if $s.oneOf then
            ([$s.oneOf[] | . as $o | select([$v | errors($doc; $o; $at)] | length == 0)] | length) as $n
            | if $n == 1 then empty else "\($at): fits \($n) of the schemas, and not one: \($v | tojson | .[0:200])" end
        else empty end),
        (if $s.type and $s.type != $t and ($s.type != "integer" or $t != "number" or ($v | floor) != $v)
            then "\($at): \($t), not \($s.type)" else empty end),
        (if $s.enum and ($s.enum | index([$v]) == null) then "\($at): \($v) is not one of \($s.enum)" else empty end),
        (if $s.pattern and $t == "string" and ($v | test($s.pattern) | not) then "\($at): not \($s.pattern)" else empty end),
        (if $s.format == "date-time" and ($v | test("^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$") | not)
            then "\($at): no time" else empty end),
        (if $s.minLength and $t == "string" and ($v | length) < $s.minLength then "\($at): too short" else empty end),
        (if $s.minimum != null and $t == "number" and $v < $s.minimum then "\($at): \($v) is too small" else empty end),
        (if $s.maximum != null and $t == "number" and $v > $s.maximum then "\($at): \($v) is too large" else empty end),
        (if $t == "object" then
            (($s.required // [])[] | select(. as $k | $v | has($k) | not) | "\($at): without \(.)"),
            ($v | keys[] | . as $k | if ($s.properties // {}) | has($k)
                then $v[$k] | errors($doc; $s.properties[$k]; "\($at).\($k)")
                elif $s.additionalProperties == false then "\($at): \($k) is not in the schema"
                else empty end)
        elif $t == "array" and $s.items then
            ($v | to_entries[] | .key as $i | .value | errors($doc; $s.items; "\($at)[\($i)]"))
        else empty end)
    end;

errors($doc[0]; $schema; "")
