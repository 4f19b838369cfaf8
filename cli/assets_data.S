// Puts files into the program, one line each, as the table that cli/assets.c searches (struct vc_asset of 64-bit hosts).
  .section .data.rel.ro.vc_assets, "aw"
  .balign 8
  .globl vc_asset_table
vc_asset_table:

.macro asset name, path
  .section .rodata.vc_assets, "a"
1: .asciz "\name"
  .balign 64
2: .incbin "\path"
3:
  .section .data.rel.ro.vc_assets, "aw"
  .quad 1b, 2b, 3b - 2b
.endm

asset "mini/unet.safetensors", "cli/assets/mini/unet.safetensors"
asset "mini/vae.safetensors", "cli/assets/mini/vae.safetensors"
asset "mini/clip.safetensors", "cli/assets/mini/clip.safetensors"
asset "mini/midas.safetensors", "cli/assets/mini/midas.safetensors"
asset "mini/pidinet.safetensors", "cli/assets/mini/pidinet.safetensors"
asset "mini/model.json", "cli/assets/mini/model.json"
asset "mini/pidinet.LICENSE", "cli/assets/mini/pidinet.LICENSE"
asset "bpe_simple_vocab_16e6.txt.gz", "third_party/clip/bpe_simple_vocab_16e6.txt.gz"

  .quad 0, 0, 0
  .section .note.GNU-stack, "", %progbits
