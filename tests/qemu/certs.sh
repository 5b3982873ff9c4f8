# Certificates, in the folders that QEMU and libvirt lay them out in.
# shellcheck shell=bash

# certs_ca NAME: an authority in $T/ca-NAME
certs_ca() {
    local dir=$T/ca-$1
    mkdir -p "$dir"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
        -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>"$dir/said" ||
        fail "no authority: $(tail -n 1 "$dir/said")"
    : >"$dir/index"
}

# certs_issue CA DIR server|client NAME [SECONDS]: a certificate for the name, from a minute ago on and valid for that
# long from now (a day), into $T/DIR beside the authority's
certs_issue() {
    local ca=$T/ca-$1 dir=$T/$2 role=$3 name=$4 seconds=${5:-86400}
    mkdir -p -m 700 "$dir"
    cat >"$ca/config" <<CONFIG
[ca]
default_ca = this
[this]
database = $ca/index
new_certs_dir = $ca
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = ${role}Auth
subjectAltName = DNS:$name
CONFIG
    { openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$dir/$role-key.pem" -out "$ca/request.pem" &&
        openssl ca -batch -notext -config "$ca/config" -cert "$ca/cert.pem" -keyfile "$ca/key.pem" -extensions leaf \
            -startdate "$(date -u -d '-60 seconds' +%Y%m%d%H%M%SZ)" \
            -enddate "$(date -u -d "+$seconds seconds" +%Y%m%d%H%M%SZ)" \
            -in "$ca/request.pem" -out "$dir/$role-cert.pem"; } >"$ca/said" 2>&1 ||
        fail "no certificate for $name: $(tail -n 1 "$ca/said")"
    cp "$ca/cert.pem" "$dir/ca-cert.pem"
    chmod 600 "$dir"/*.pem
}
