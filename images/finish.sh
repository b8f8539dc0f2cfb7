# Runs once inside each image as it is built, without network: finish.sh USER UID HOME
set -eu
user=$1 uid=$2 home=$3
# The one extra CA bundle of a TLS-inspecting network; empty where none was given.
cat /opt/orchbox/extra-ca.pem >>/etc/ssl/certs/ca-certificates.crt
rm -f /opt/orchbox/extra-ca.pem
# A sandbox's init writes its roots to the tmpfs at /run: wherever the distribution's clients look leads there,
# since the root is read-only then. Outside of a sandbox (`FROM` this image) they find the image's own.
if [ -e /opt/orchbox/sandbox_init.py ]; then
  mkdir -p /run/orchbox
  cp /etc/ssl/certs/ca-certificates.crt /opt/orchbox/system-roots.pem
  mv /etc/ssl/certs/ca-certificates.crt /run/orchbox/ca.pem
  ln -s /run/orchbox/ca.pem /etc/ssl/certs/ca-certificates.crt
  if [ -e /etc/ssl/certs/java/cacerts ]; then
    mv /etc/ssl/certs/java/cacerts /run/orchbox/java-cacerts
    ln -s /run/orchbox/java-cacerts /etc/ssl/certs/java/cacerts
  fi
fi
# A base image may have somebody else at this uid already (node:*-slim does).
sed -i "/^[^:]*:[^:]*:$uid:/d" /etc/passwd /etc/group
echo "$user:x:$uid:$uid::$home:/bin/sh" >>/etc/passwd
echo "$user:x:$uid:" >>/etc/group
if [ "$home" != /nonexistent ]; then mkdir -p "$home"; chown "$uid:$uid" "$home"; fi
# Agents written elsewhere say `python`.
command -v python >/dev/null || ln -s "$(command -v python3)" /usr/local/bin/python
# Bytecode now, since the root is read-only later: it is most of a Python agent's start.
for folder in $(python3 -c 'import site; print(*site.getsitepackages())') /opt/orchbox; do
  if [ -d "$folder" ]; then python3 -m compileall -q -j 0 "$folder" >/dev/null 2>&1 || true; fi
done
# No setuid program is of use in a container without capabilities and with no-new-privileges.
find / -xdev -perm /6000 -type f -exec chmod ug-s {} +
