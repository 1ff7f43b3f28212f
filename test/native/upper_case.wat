;; Assembled with wat2wasm of WABT into upper_case.wasm.
(module
  (memory (export "memory") 1)

  ;; Turns the ASCII letters among the first bytes of memory to upper case, where they are.
  (func (export "upper_case") (param $length i32)
    (local $at i32)
    (local $byte i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $byte (i32.load8_u (local.get $at)))
        (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
          (then (i32.store8 (local.get $at) (i32.sub (local.get $byte) (i32.const 32)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))))
