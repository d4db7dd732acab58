#!/bin/sh
# Makes hits.ogg: four seconds of Opus, 48 kHz stereo, 20 ms a packet. On each second something is hit, a B5 that leans
# to the left on even seconds and an E6 that leans to the right on odd ones; between the hits it is silent. The sound
# begins 6.5 ms early, which is what the Opus encoder delays it by (312 samples), so that it is heard on the second.
# Made with ffmpeg 5.1 and libopus 1.3.1.
set -eu
begin='st(0,t+312/48000)*0+st(1,mod(ld(0),1))*0+st(2,mod(floor(ld(0)),2))*0'
shape='0.3*lt(ld(1),0.4)*(1-exp(-400*ld(1)))*exp(-14*ld(1))'
pitch='st(3,2*PI*(987.77+330.74*ld(2))*ld(1))*0+sin(ld(3))+0.35*sin(2*ld(3))'
left="$begin+$shape*($pitch)*(1-0.55*ld(2))"
right="$begin+$shape*($pitch)*(0.45+0.55*ld(2))"
ffmpeg -y -nostdin -loglevel error -f lavfi -i "aevalsrc=exprs='$left'|'$right':s=48000:d=4.1" \
	-c:a libopus -b:a 48k -frame_duration 20 -application audio -map_metadata -1 \
	-fflags +bitexact -flags:a +bitexact hits.ogg
