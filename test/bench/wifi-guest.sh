#!/bin/sh
# Runs in the guest of wifi.ts, below the root file system of the image; says what was reached in lines "STEP SECONDS WORDS".
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /run/guest || exit 1
chmod 755 hostapd iw busybox
say() { echo "STEP $(cut -d' ' -f1 /proc/uptime) $*"; }
# await SECONDS WORDS COMMAND: looks every second of the guest's.
await() {
  left=$1 words=$2
  until sh -c "$3" >/dev/null 2>&1; do
    left=$((left - 1))
    [ $left -gt 0 ] || { say "NO: $words"; tail -30 /run/hostapd.log /run/wpa.log; return; }
    ./busybox sleep 1
  done
  say "$words"
}
say "the kernel and its disks"
modprobe mac80211
insmod ./mac80211_hwsim.ko radios=2
for phy in /sys/class/ieee80211/*; do [ ! -d "$phy/device/net/wlan1" ] || radio=${phy##*/}; done
unshare --net ./busybox sleep 100000 &
holder=$!
await 60 "two radios, one in a network namespace of its own" "./iw phy $radio set netns $holder || ! [ -e /sys/class/net/wlan1 ]"
there() { nsenter --target $holder --net "$@"; }
ap() {
  [ ! -e /run/hostapd.pid ] || kill "$(cat /run/hostapd.pid)"
  await 30 "no access point any more, then $1" "! [ -e /run/hostapd.pid ]"
  there ./hostapd -B -P /run/hostapd.pid -f /run/hostapd.log "$1.conf" >/dev/null
  there ip address replace 192.168.77.1/24 dev wlan1
}
control=/run/homing-wifi
cli="wpa_cli -p $control/wlan0 -i wlan0"
station() {
  mkdir -p /run/homing/wifi $control
  [ ! -e $control/wlan0.pid ] || kill "$(cat $control/wlan0.pid)"
  await 30 "wpa_supplicant with $1" "! [ -e $control/wlan0.pid ]"
  cp "$1.wpa" /run/homing/wifi/wpa_supplicant.conf
  wpa_supplicant -B -f /run/wpa.log -P $control/wlan0.pid -D nl80211 -i wlan0 -O $control/wlan0 \
    -c /run/homing/wifi/wpa_supplicant.conf >/dev/null
  $cli set ps 0 >/dev/null
}
# The page's own script; what it saw counts as shown.
look="/usr/lib/homing/look >/dev/null 2>&1; cp /run/homing/state.new /run/homing/state"
joined="$cli status | grep -q wpa_state=COMPLETED"

station home
ap wpa2
await 120 "joined a network with WPA2" "$joined && $cli status | grep -q key_mgmt=WPA2-PSK"
ip address add 192.168.77.20/24 dev wlan0
await 30 "packets pass" "./busybox ping -c1 -W5 192.168.77.1"
await 10 "the rules are those of the country" "./iw reg get | grep -q '^country DE'"
await 10 "the radio does not sleep" "./iw dev wlan0 get power_save | grep -q off"
await 10 "the page has nothing to say" "$look; ! grep wifi /run/homing/state"
ap other
await 180 "another password: the page says that it is refused" "$look; grep -q 'wifi refused' /run/homing/state"
ap wpa3
await 240 "joined a network with WPA2 and WPA3 by itself" "$joined && $cli status | grep -q key_mgmt=WPA2-PSK"
await 10 "the page has nothing to say any more" "$look; ! grep wifi /run/homing/state"
kill "$(cat /run/hostapd.pid)"
await 120 "no access point: the page says that it is out of reach" "$look; grep -q 'wifi out-of-reach' /run/homing/state"
station hidden
ap hidden
await 120 "joined a hidden network without a password" "$joined && $cli status | grep -q key_mgmt=NONE"
say end
# Switched off: this is the first process.
echo o >/proc/sysrq-trigger
./busybox sleep 1000
